// Prints what the reference audits of GraphQL over HTTP say of the server at argv[2], as JSON.
import { serverAudits } from "graphql-http";

const results = await Promise.all(serverAudits({ url: process.argv[2] }).map((audit) => audit.fn()));
console.log(JSON.stringify(results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))));
