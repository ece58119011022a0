"""What scripts/deploy-check asks for and no tool does alone. Usage: deploy-check.py compose|keda|dashboard FILE"""

import json
import sys


def compose(path):
    """Parses the file strictly, then looks whether what a service names is declared."""
    from compose_spec import PyCompose

    with open(path) as file:
        parsed = PyCompose.from_yaml(file.read())
    parsed.validate()


def keda(path):
    """A field that the schema does not know is lost on the way through it, and one of another type is refused."""
    import yaml
    from cloudcoil.models.keda.v1alpha1 import ScaledObject

    with open(path) as file:
        given = yaml.safe_load(file)
    read = ScaledObject.model_validate(given).model_dump(mode="json", by_alias=True, exclude_unset=True)
    if read != given:
        sys.exit(f"{path}: KEDA knows only this of it:\n{json.dumps(read, indent=1)}")
    for trigger in given["spec"]["triggers"]:
        # To the schema this is a map of anything.
        if trigger["metadata"].keys() != {"serverAddress", "query", "threshold"}:
            sys.exit(f"{path}: {trigger['name']} does not say where to ask, what, and from when on there is too much")


def dashboard(path):
    """Prints every query of the dashboard as a recording rule, its variables replaced as Grafana does."""
    with open(path) as file:
        panels = json.load(file)["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    if not queries:
        sys.exit(f"{path}: no panel asks for anything")
    rules = [
        {"record": f"dashboard:query_{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries)
    ]
    # JSON is YAML.
    print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}, indent=1))


if __name__ == "__main__":
    {"compose": compose, "keda": keda, "dashboard": dashboard}[sys.argv[1]](sys.argv[2])
