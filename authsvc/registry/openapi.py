"""The description of the interface for registries, in OpenAPI 3.1. A test holds it against the routes."""

from typing import Any

from authsvc.tokens import PROGRAM_SCOPES

_ERROR = {"$ref": "#/components/responses/Error"}
_FAILURES = {"400": _ERROR, "401": _ERROR, "403": _ERROR, "429": _ERROR}
_PUSH_FAILURES = {**_FAILURES, "503": _ERROR}
_TEXT, _FLAG = {"type": "string"}, {"type": ["boolean", "null"]}
_COUNT, _RANK = {"type": ["integer", "null"], "minimum": 0}, {"type": ["integer", "null"], "minimum": 1}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _in_path(name: str, words: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT, "description": words}


def _operation(words: str, scope: str, schema: str, failures: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": words,
        "security": [{"client": [scope]}],
        "responses": {"200": {"description": "Done", "content": _json(_ref(schema))}, **failures},
    }


_PACKAGE = [_in_path("ecosystem", "npm, pypi, …"), _in_path("name", "the package, with its slash if it has one")]


def description(base_url: str) -> dict[str, Any]:
    """The whole description, for the service at this origin."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "authsvc for registries", "version": "1"},
        "servers": [{"url": base_url}],
        "paths": {
            "/api/v1/openapi.json": {
                "get": {"summary": "This description", "responses": {"200": {"description": "Done"}}}
            },
            "/api/v1/impact/{ecosystem}/packages/{name}": {
                "parameters": _PACKAGE,
                "put": {
                    **_operation("Say by how many a package is used", "impact:write", "Pushed", _PUSH_FAILURES),
                    "requestBody": {"required": True, "content": _json(_ref("Figures"))},
                },
            },
            "/api/v1/impact/{ecosystem}/maintainers/{name}": {
                "parameters": _PACKAGE,
                "put": {
                    **_operation("Say who maintains a package, all of them", "impact:write", "Pushed", _PUSH_FAILURES),
                    "requestBody": {"required": True, "content": _json(_ref("Maintainers"))},
                },
            },
            "/api/v1/mandates/{account}": {
                "parameters": [_in_path("account", "a user name")],
                "get": _operation("Read which mandate an account is under", "mandates:read", "State", _FAILURES),
            },
        },
        "components": {
            "securitySchemes": {
                "client": {
                    "type": "oauth2",
                    "flows": {
                        "clientCredentials": {
                            "tokenUrl": f"{base_url}/oauth2/token",
                            "scopes": {name: scope.words for name, scope in PROGRAM_SCOPES.items()},
                        }
                    },
                }
            },
            "responses": {
                "Error": {
                    "description": "Nothing was changed",
                    "content": _json(_object({"error": _TEXT, "error_description": _TEXT}, "error")),
                }
            },
            "schemas": {
                "Figures": _object(
                    {
                        "weekly_downloads": _COUNT,
                        "dependents": _COUNT,
                        "weekly_ge_1m": _FLAG,
                        "dependents_ge_500": _FLAG,
                        "rank": _RANK,
                        "dependents_rank": _RANK,
                    }
                ),
                "Maintainers": _object(
                    {
                        "maintainers": {
                            "type": "array",
                            "items": _object(
                                {
                                    "account": _TEXT,
                                    "role": _TEXT,
                                    "accepted_at": {"type": ["string", "null"], "format": "date-time"},
                                },
                                "account",
                            ),
                        }
                    },
                    "maintainers",
                ),
                "Pushed": _object(
                    {
                        "ecosystem": _TEXT,
                        "package": _TEXT,
                        "added": _COUNT,
                        "changed": _COUNT,
                        "removed": _COUNT,
                    }
                ),
                "State": _object(
                    {
                        "account": _TEXT,
                        "mandate": {
                            "oneOf": [
                                {"type": "null"},
                                _object(
                                    {
                                        "phase": _TEXT,
                                        "strength": _TEXT,
                                        "reason": _TEXT,
                                        "enforced_from": {"type": "string", "format": "date-time"},
                                        "in_force": {"type": "boolean"},
                                        "met": {"type": "boolean"},
                                    }
                                ),
                            ]
                        },
                    },
                    "account",
                    "mandate",
                ),
            },
        },
    }
