"""What a gateway is told of a caller, and how soon it is told that something has ended."""

import asyncio
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import text

from app.embedded.supervisor import Endpoints
from auth.actor import Role
from auth.identity import thumbprint
from tests.conftest import Databases, backends_on
from tests.services.services import module_with_key
from tests.support.platform import GATEWAY, GATEWAY_KEY, KEY, Platform, running_platform, token
from tests.support.proxy import proxy
from tests.support.stopwatch import Stopwatch
from tests.support.stories import (
    admin_of,
    assign,
    create_company,
    organization_revision,
    register,
    sign_up,
    unassign,
    unique,
)

KEY_HEADER = {"X-Modplane-Gateway-Key": GATEWAY_KEY}
SWITCH = "mutation($i: ModuleRefInput!) { %s(input: $i) { errors { message } } }"
OFF_IN_COMPANY = text(
    "INSERT INTO company_modules(organization_id, company_id, module_id, is_enabled, revision, customized_by)"
    " VALUES (CAST(:organization AS uuid), CAST(:company AS uuid), :module, false, 1, 'tester')"
)


async def ask(platform: Platform, bearer: str | None, subgraphs: str = "", **headers: str) -> Any:
    sent = {**KEY_HEADER, **headers}
    if bearer is not None:
        sent["authorization"] = f"Bearer {bearer}"
    url = platform.url.replace("/graphql", "/federation/v1/identity")
    return await platform.client.get(url, params={"subgraphs": subgraphs}, headers=sent)


async def told(platform: Platform, bearer: str | None, subgraphs: str = "") -> Any:
    response = await ask(platform, bearer, subgraphs)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return response.json()


async def policies(platform: Platform, bearer: str) -> list[str]:
    """Of modules that tests have made: the pack has some that everybody has."""
    return [each for each in (await told(platform, bearer))["policies"] if "entitled" in each]


async def tenant_with(platform: Platform, *modules: str, plan: str | None = None) -> str:
    organization = await sign_up(platform, plan=plan)
    for module in modules:
        assert (await assign(platform, organization, module))["errors"] == []
    return organization


async def test_a_callers_identity(platform: Platform) -> None:
    module = await register(platform, unique("entitled"))
    organization = await tenant_with(platform, module)
    company = await create_company(platform, organization)
    bearer = token(Role.COMPANY_ADMIN, organization=organization, company=company, subject="ada")
    answer = await told(platform, bearer, f"platform,{module}")
    identities, expires = answer.pop("identities"), answer.pop("expiresAt")
    assert time.time() + 58 <= expires <= time.time() + 60
    assert f"module:{module}" in answer.pop("policies")
    assert answer == {
        "subject": "ada",
        "roles": ["COMPANY_ADMIN"],
        "organizationId": organization,
        "companyId": company,
        "revision": await organization_revision(platform, organization),
    }
    assert list(identities) == ["platform", module]
    claims = jwt.decode(
        identities[module],
        KEY.public_key(),
        algorithms=["EdDSA"],
        issuer="modplane",
        audience=f"modplane:subgraph:{module}",
    )
    modules = claims.pop("modules")
    assert module in modules
    assert claims == {
        "iss": "modplane",
        "aud": f"modplane:subgraph:{module}",
        "sub": "ada",
        "iat": expires - 60,
        "exp": expires,
        "roles": ["COMPANY_ADMIN"],
        "org": organization,
        "company": company,
    }
    assert jwt.get_unverified_header(identities[module]) == {
        "alg": "EdDSA",
        "typ": "JWT",
        "kid": thumbprint(KEY.public_key()),
    }


async def test_nobody_is_somebody_too(platform: Platform) -> None:
    answer = await told(platform, None, "platform")
    claims = jwt.decode(answer.pop("identities")["platform"], options={"verify_signature": False})
    answer.pop("expiresAt")
    assert answer == {
        "subject": "anonymous",
        "roles": [],
        "organizationId": None,
        "companyId": None,
        "policies": [],
        "revision": None,
    }
    assert (claims["sub"], claims["roles"], claims["modules"], "org" in claims) == ("anonymous", [], [], False)


async def test_an_identity_is_no_token_of_the_platform_nor_of_another_subgraph(platform: Platform) -> None:
    identity = (await told(platform, platform.admin, "platform"))["identities"]["platform"]
    assert (await platform.post("{ viewer { subject } }", token=identity)).status_code == 401
    assert (await ask(platform, identity)).status_code == 401
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(identity, KEY.public_key(), algorithms=["EdDSA"], audience="modplane:subgraph:other")


async def test_an_identity_does_not_outlive_the_callers_token(platform: Platform) -> None:
    organization = await sign_up(platform)
    bearer = token(Role.MEMBER, organization=organization, seconds=10)
    expires = jwt.decode(bearer, options={"verify_signature": False})["exp"]
    assert (await told(platform, bearer))["expiresAt"] == expires


async def test_only_the_gateway_is_told(platform: Platform) -> None:
    for key in ("", "wrong", GATEWAY_KEY + "x", GATEWAY_KEY[:-1]):
        response = await ask(platform, platform.admin, **{"X-Modplane-Gateway-Key": key})
        assert response.status_code == 401
        assert response.json() == {
            "errors": [
                {
                    "message": "This is for the gateway: X-Modplane-Gateway-Key is missing or wrong.",
                    "extensions": {"code": "GATEWAY_KEY_INVALID"},
                }
            ]
        }


@pytest.mark.parametrize(
    ("bearer", "message"),
    [
        ("nonsense", "the token is not valid; ask for a new one"),
        ("mpk_x", "the API key is not valid; ask for a new one"),
    ],
)
async def test_a_bad_credential_is_told_apart_from_none(platform: Platform, bearer: str, message: str) -> None:
    response = await ask(platform, bearer)
    assert response.status_code == 401
    assert response.json() == {"errors": [{"message": message, "extensions": {"code": "UNAUTHENTICATED"}}]}
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("names", ["Upper", "a b", "../x", "é", "x" * 64, ",".join(f"s{i}" for i in range(65))])
async def test_names_of_subgraphs_are_bounded(platform: Platform, names: str) -> None:
    response = await ask(platform, platform.admin, names)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_sixty_four_subgraphs_are_signed_for_in_one_statement(platform: Platform) -> None:
    module = await register(platform, unique("entitled"))
    organization = await tenant_with(platform, module)
    names = ",".join(f"s{number}" for number in range(64))
    with platform.statements() as statements:
        answer = await told(platform, admin_of(organization), names)
    assert len(set(answer["identities"].values())) == 64
    assert statements.count == 1, statements.texts


async def test_what_ends_an_entitlement_shows_in_the_next_answer(platform: Platform) -> None:
    module = await register(platform, unique("entitled"))
    organization = await tenant_with(platform, module)
    bearer = admin_of(organization)
    assert await policies(platform, bearer) == [f"module:{module}"]
    await platform.data(SWITCH % "deactivateModule", {"i": {"code": module}})
    assert await policies(platform, bearer) == []
    await platform.data(SWITCH % "activateModule", {"i": {"code": module}})
    assert await policies(platform, bearer) == [f"module:{module}"]
    assert (await unassign(platform, organization, module))["errors"] == []
    assert await policies(platform, bearer) == []


async def test_what_is_not_entitled(platform: Platform) -> None:
    """Not ACTIVE, not in the plan any longer, INTERNAL, somebody else's: none of these."""
    installed, premium, internal = [unique("entitled") for _ in range(3)]
    await register(platform, installed)
    await register(platform, premium, subscription_tier="premium")
    await register(platform, internal, tier="INTERNAL")
    organization = await tenant_with(platform, premium, internal, plan="premium")
    await assign(platform, organization, installed, activate=False)
    bearer = admin_of(organization)
    assert await policies(platform, bearer) == [f"module:{premium}"]
    lower = "mutation($i: UpdateOrganizationInput!) { updateOrganization(input: $i) { errors { message } } }"
    await platform.data(lower, {"i": {"organizationId": organization, "plan": "free"}})
    assert await policies(platform, bearer) == []
    assert await policies(platform, admin_of(await sign_up(platform))) == []


async def test_administrators_of_the_platform_have_every_active_module(platform: Platform) -> None:
    on, off = await register(platform, unique("entitled")), await register(platform, unique("entitled"))
    await platform.data(SWITCH % "deactivateModule", {"i": {"code": off}})
    with platform.statements() as statements:
        answer = await told(platform, platform.admin)
    assert statements.count == 1, statements.texts
    assert f"module:{on}" in answer["policies"]
    assert f"module:{off}" not in answer["policies"]
    organization = await tenant_with(platform)
    assert await policies(platform, token(Role.SUPER_ADMIN, organization=organization)) == []


async def test_what_a_company_has_switched_off_its_callers_have_not(platform: Platform) -> None:
    module = await register(platform, unique("entitled"))
    organization = await tenant_with(platform, module)
    one, other = [await create_company(platform, organization) for _ in range(2)]
    async with platform.services.database.platform_session() as session:
        await session.execute(OFF_IN_COMPANY, {"organization": organization, "company": one, "module": module})
        await session.commit()
    elsewhere = await create_company(platform, await sign_up(platform))
    bound = [token(Role.COMPANY_ADMIN, organization=organization, company=each) for each in (one, other, elsewhere)]
    assert [await policies(platform, each) for each in bound] == [[], [f"module:{module}"], []]
    assert await policies(platform, admin_of(organization)) == [f"module:{module}"]


async def test_a_modules_service_has_no_tenant_and_so_no_entitlement(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    answer = await told(platform, key)
    assert (answer["subject"], answer["roles"], answer["policies"]) == (f"module:{code}", ["MODULE_SERVICE"], [])


async def test_a_revoked_token_is_refused(platform: Platform) -> None:
    organization = await sign_up(platform)
    bearer = token(Role.MEMBER, organization=organization, subject="leaver")
    assert (await ask(platform, bearer)).status_code == 200
    revoke = "mutation($i: RevokeTokensInput!) { revokeTokens(input: $i) { errors { message } } }"
    async with running_platform(platform.backends) as replica:
        await platform.data(revoke, {"i": {"organizationId": organization, "subject": "leaver"}})
        watch = Stopwatch()
        while (await ask(replica, bearer)).status_code == 200:
            await asyncio.sleep(0.02)
        watch.stop()
        assert watch.seconds < 2
    response = await ask(platform, bearer)
    assert response.json()["errors"][0]["message"] == "token revoked; ask for a new one"


async def test_without_a_database_the_answer_says_so_and_comes_soon(databases: Databases, servers: Endpoints) -> None:
    database = await databases.create()
    async with proxy(lambda: database.port) as between:
        backends = backends_on(database.set(port=between.port), servers)
        async with running_platform(backends) as alone:
            organization = await sign_up(alone)
            between.cut()
            watch = Stopwatch()
            response = await ask(alone, admin_of(organization))
            watch.stop()
            assert watch.seconds < 3
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert response.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
            assert (await ask(alone, "nonsense")).status_code == 401
            assert (await told(alone, None))["policies"] == []


async def test_the_public_keys(platform: Platform) -> None:
    response = await platform.client.get(platform.url.replace("/graphql", "/.well-known/jwks.json"))
    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=60"
    found = jwt.PyJWKSet.from_dict(response.json()).keys
    assert [each["modplane:role"] for each in response.json()["keys"]] == ["platform", "gateway"]
    for key, expected in zip(found, (KEY, GATEWAY), strict=True):
        assert isinstance(key.key, Ed25519PublicKey)
        assert key.key.public_bytes_raw() == expected.public_key().public_bytes_raw()
        assert key.key_id == thumbprint(expected.public_key())
    assert (await told(platform, None, "x"))["identities"]["x"].count(".") == 2


def test_a_thumbprint_is_the_one_of_the_standard() -> None:
    """RFC 8037, appendix A.3."""
    public = Ed25519PublicKey.from_public_bytes(
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    )
    assert thumbprint(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
