// The plugin that lets an operation do what its caller may, and live streams only as long as that is so.

import { getOperationAST } from 'graphql';

import { denialError, withDenials } from './answer.js';
import { callerOf } from './caller.js';
import { denialBy, gatesOfDocument, withoutDenied } from './entitlement.js';
import { entitlementRevoked, inStream } from './errors.js';
import { IDENTITY_MS, RECHECK_IDENTITY_MS, RECHECK_MS, UNREACHABLE_MS } from './limits.js';
import { guarded } from './stream.js';

/** @param {import('./identity.js').Identities} identities */
export function useGuard(identities) {
  return {
    async onContextBuilding({ context, extendContext }) {
      const caller = callerOf(context.headers ?? {}, context.connectionParams);
      const identity = await identities.get(caller.authorization, IDENTITY_MS);
      extendContext({ modplane: { ...caller, identity } });
    },

    onExecute({ args, setResultAndStopExecution }) {
      const denials = restrict(args, setResultAndStopExecution);
      return denials && { onExecuteDone: ({ result, setResult }) => setResult(withDenials(result, denials)) };
    },

    onSubscribe({ args, setResultAndStopExecution }) {
      const { schema, document, contextValue } = args;
      const gates = gatesOfDocument(schema, document)
        .filter((gate) => !denialBy(gate, contextValue.modplane.identity));
      const denials = restrict(args, setResultAndStopExecution);
      return {
        onSubscribeResult({ result, setResult }) {
          if (Symbol.asyncIterator in Object(result)) {
            setResult(guarded(result, {
              change: (event) => (denials ? withDenials(event, denials) : event),
              check: endCheck(identities, contextValue.modplane.authorization, gates),
              everyMs: RECHECK_MS,
            }));
          }
        },
      };
    },
  };
}

/** Takes out of the operation what its caller may not ask. @returns {Map|null} null: nothing is denied */
function restrict(args, stop) {
  const { identity } = args.contextValue.modplane;
  const isAllowed = gatesOfDocument(args.schema, args.document).every((gate) => !denialBy(gate, identity));
  const operation = getOperationAST(args.document, args.operationName);
  if (isAllowed || !operation) {
    return null;
  }
  const { document, denials } = withoutDenied(args.schema, args.document, operation, identity);
  args.document = document;
  const [path, denial] = [...denials].find(([each]) => !each.includes('.')) ?? [];
  if (denial && operation.operation === 'subscription') {
    // The one root field of a subscription is denied: there is no stream to begin.
    stop({ data: null, errors: [denialError(denial, [path])] });
  }
  return denials;
}

/** @returns {() => Promise<Error|null>} why a live stream has to end now: what it was let in by is gone. */
function endCheck(identities, authorization, gates) {
  let answeredAt = performance.now();
  return async function check() {
    try {
      const identity = await identities.get(authorization, RECHECK_IDENTITY_MS);
      answeredAt = performance.now();
      const lost = gates.map((gate) => denialBy(gate, identity)).find(Boolean);
      return lost ? revoked(lost) : null;
    } catch (error) {
      const isSilence = error.extensions?.code === 'UNAVAILABLE';
      return isSilence && performance.now() - answeredAt < UNREACHABLE_MS ? null : inStream(error);
    }
  };
}

function revoked(denial) {
  return denial.module ? entitlementRevoked(denial.module) : denialError(denial);
}
