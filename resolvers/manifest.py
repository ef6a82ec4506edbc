"""validateManifest: what a registration would say, without writing."""

import strawberry

from graph.context import Info
from graph.guard import Guard
from graph.types.errors import UserError, user_error
from graph.types.scalars import JSON
from rules.errors import Refusal
from rules.manifest import read_manifest


@strawberry.type
class ManifestQueries:
    @strawberry.field(
        extensions=[Guard("Query")],
        description="Every problem of a manifest, each with its place; empty when it is sound. Writes nothing.",
    )
    async def validate_manifest(self, info: Info, manifest: JSON) -> list[UserError]:
        try:
            read_manifest(manifest)
        except Refusal as refusal:
            return [user_error(problem.at("manifest")) for problem in refusal.problems]
        return []
