"""The styles of `foreign_yaml`: what the files of well-known programs contain, with random names and values.

A style returns data, text, or a tuple of several documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.foreign_yaml import Raw, Words

__all__ = ["STYLES"]

Style = Callable[[Words], Any]


def _compose(w: Words) -> Any:
    def service() -> dict[str, Any]:
        made: dict[str, Any] = {"image": w.image(), "restart": w.rng.choice(["always", "unless-stopped", "no"])}
        if w.maybe():
            made["ports"] = w.some(lambda: Raw(f'"{w.number()}:{w.number()}"'))
        if w.maybe():
            made["environment"] = {name.upper(): Raw("${" + w.name().upper() + ":-x}") for name in w.names()}
        if w.maybe():
            made["command"] = Raw('["sh", "-c", "exec $$0"]')
        if w.maybe(0.3):
            made["deploy"] = {"resources": {"limits": {"cpus": "0.50", "memory": "50M"}}, "mode": "replicated"}
        return made

    head = {"version": w.rng.choice(["3", "3.8", "2.4"])} if w.maybe() else {}
    common = {"x-logging": Raw("&logging {driver: json-file}")} if w.maybe(0.3) else {}
    return {**common, **head, "services": {name: service() for name in w.names(6)}, "volumes": dict.fromkeys(w.names())}


def _workflow(w: Words) -> Any:
    def step() -> dict[str, Any]:
        if w.maybe(0.4):
            return {
                "uses": f"actions/{w.name()}@v{w.number(5)}",
                "with": {"key": Raw("${{ runner.os }}-${{ matrix.x }}")},
            }
        return {"name": w.text(3), "run": w.lines(), "if": Raw("github.ref == 'refs/heads/main'")}

    jobs = {
        name: {"runs-on": "ubuntu-latest", "timeout-minutes": w.number(60), "steps": w.some(step), "needs": w.names(2)}
        for name in w.names()
    }
    return {"name": w.text(3), "on": {"push": {"branches": Raw("[main]")}, "pull_request": None}, "jobs": jobs}


def _circle(w: Words) -> Any:
    jobs = {
        name: {
            "docker": [{"image": w.image()}],
            "steps": ["checkout", {"run": w.text()}, {"save_cache": {"key": "v1"}}],
        }
        for name in w.names()
    }
    return {
        "version": 2.1,
        "orbs": {"node": "circleci/node@5"},
        "jobs": jobs,
        "workflows": {"all": {"jobs": w.names()}},
    }


def _azure(w: Words) -> Any:
    steps = w.some(lambda: w.rng.choice([{"script": w.text()}, {"task": "UsePython@0", "inputs": {"v": "3.x"}}]))
    jobs = w.some(lambda: {"job": w.name(), "pool": {"vmImage": "ubuntu-22.04"}, "steps": steps})
    return {"trigger": Raw("[main]"), "variables": [{"group": w.name()}], "jobs": jobs}


def _gitlab(w: Words) -> Any:
    jobs = {name: {"stage": "test", "script": w.some(w.text), "only": w.names(2)} for name in w.names(6)}
    return {"stages": w.names(), ".base": Raw("&base {retry: 2}"), "default": {"image": w.image()}, **jobs}


def _kubernetes(w: Words) -> Any:
    def manifest() -> Any:
        kind = w.rng.choice(["Deployment", "Service", "ConfigMap", "CronJob", "Ingress"])
        spec: dict[str, Any] = {"replicas": w.number(9), "selector": {"matchLabels": {"app": w.name()}}}
        if w.maybe():
            spec["template"] = {
                "spec": {"containers": [{"name": w.name(), "image": w.image(), "args": w.some(w.text)}]}
            }
        meta = {"name": w.name(), "labels": {"app.kubernetes.io/name": w.name()}, "annotations": {"a/b": Raw('"true"')}}
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}

    return tuple(w.some(manifest, 1, 5))


def _helm_values(w: Words) -> Any:
    return {
        "replicaCount": w.number(5), "image": {"repository": w.name(), "tag": Raw('""')}, "nodeSelector": Raw("{}"),
        "tolerations": Raw("[]"), "resources": Raw("{}"), "ingress": w.tree(3), "podAnnotations": w.tree(2),
    }  # fmt: skip


def _helm_template(w: Words) -> Any:
    return (
        f"{{{{- if .Values.{w.name()}.enabled }}}}\napiVersion: v1\nkind: Service\nmetadata:\n"
        f'  name: {{{{ include "{w.name()}.fullname" . }}}}\n  labels: {{{{- toYaml .Values.labels | nindent 4 }}}}\n'
        "spec:\n  ports:\n    - port: {{ .Values.port }}\n{{- end }}\n"
    )


def _playbook(w: Words) -> Any:
    def task() -> dict[str, Any]:
        module = w.rng.choice(["apt", "template", "ansible.builtin.copy", "shell"])
        return {
            "name": w.text(4),
            module: {"src": w.name(), "mode": Raw("0644")},
            "when": Raw('"{{ x }}"'),
            "become": True,
        }

    plays = w.some(lambda: {"hosts": "all", "gather_facts": False, "tasks": w.some(task, 1, 6), "roles": w.names()})
    return plays if w.maybe() else {"- hosts": None} and plays


def _inventory(w: Words) -> Any:
    hosts = {f"{name}.example.org": {"ansible_host": "192.0.2.7", "ansible_password": w.text(1)} for name in w.names()}
    return {"all": {"children": {w.name(): {"hosts": hosts}}, "vars": w.tree(2)}}


def _openapi(w: Words) -> Any:
    def operation() -> dict[str, Any]:
        answers = {Raw(code): {"description": w.text()} for code in ("200", "'404'", "default")}
        return {"summary": w.text(), "operationId": w.name(), "responses": answers}

    paths = {f"/{name}/{{id}}": {"get": operation(), "post": operation()} for name in w.names(5)}
    schemas = {name: {"type": "object", "properties": {"id": {"type": "integer", "$ref": "#/x"}}} for name in w.names()}
    head: Any = w.rng.choice([{"openapi": "3.0.3"}, {"swagger": Raw('"2.0"')}])
    return {**head, "info": {"title": w.text(), "version": "1.0"}, "paths": paths, "components": {"schemas": schemas}}


def _pre_commit(w: Words) -> Any:
    hooks = {"id": w.name(), "args": w.some(w.text), "exclude": Raw("^(a|b)/.*\\.py$")}
    repo = {"repo": "https://example.org/hooks", "rev": f"v{w.version()}", "hooks": [hooks]}
    return {"default_stages": Raw("[commit]"), "repos": [repo] * w.rng.randint(1, 4)}


def _mkdocs(w: Words) -> Any:
    slug = Raw("!!python/object/apply:pymdownx.slugs.slugify {kwds: {case: lower}}")
    extension = {"pymdownx.emoji": {"emoji_index": Raw("!!python/name:material.extensions.emoji.twemoji")}}
    extensions = ["admonition", extension, {"toc": {"slugify": slug, "permalink": True}}]
    nav = [{w.text(2): f"{w.name()}.md"} for _ in range(4)]
    return {"site_name": w.text(), "theme": {"name": "material"}, "nav": nav, "markdown_extensions": extensions}


def _cloudformation(w: Words) -> Any:
    def resource() -> dict[str, Any]:
        values = {"Name": Raw(f"!Ref {w.name()}"), "Arn": Raw(f"!GetAtt {w.name()}.Arn"), "Tags": Raw("!Sub '${A}-x'")}
        return {"Type": "AWS::S3::Bucket", "Condition": "IsProd", "Properties": {**values, "If": Raw("!If [A, b, c]")}}

    parameters = {name.title(): {"Type": "String", "Default": w.text(1)} for name in w.names()}
    resources = {name.title(): resource() for name in w.names(5)}
    head = {"AWSTemplateFormatVersion": Raw(w.rng.choice(["2010-09-09", "'2010-09-09'"]))}
    return {**head, "Parameters": parameters, "Resources": resources}


def _travis(w: Words) -> Any:
    include = w.some(lambda: {"python": w.rng.choice([3.10, "3.9"]), "env": f"X={w.number()}", "os": "linux"})
    return {
        "language": "python",
        "sudo": False,
        "jobs": {"include": include},
        "script": w.some(w.text),
        "after_success": None,
    }


def _prometheus(w: Words) -> Any:
    scrape = w.some(lambda: {"job_name": w.name(), "static_configs": [{"targets": Raw("['localhost:9090']")}]})
    return {"global": {"scrape_interval": "15s"}, "rule_files": w.some(w.name), "scrape_configs": scrape}


def _alerts(w: Words) -> Any:
    rule = {"alert": w.name(), "expr": Raw("'rate(x[5m]) > 0'"), "for": "5m", "labels": {"severity": "page"}}
    return {"groups": [{"name": w.name(), "rules": [rule, {**rule, "annotations": {"summary": w.lines()}}]}]}


def _process_compose(w: Words) -> Any:
    def process() -> dict[str, Any]:
        probe = {"http_get": {"host": "127.0.0.1", "port": w.number()}}
        return {
            "command": w.text(),
            "depends_on": {w.name(): {"condition": "process_healthy"}},
            "readiness_probe": probe,
        }

    return {"version": Raw('"0.5"'), "log_level": "info", "processes": {name: process() for name in w.names(5)}}


def _programs(w: Words) -> Any:
    return {"supervisord": {"nodaemon": True}, **{f"program:{name}": {"command": w.text()} for name in w.names()}}


def _conda(w: Words) -> Any:
    pip: Any = {"pip": w.some(lambda: f"{w.name()}=={w.version()}")}
    return {
        "name": w.name(),
        "channels": Raw("[conda-forge]"),
        "dependencies": [*w.some(lambda: f"{w.name()}>=1"), pip],
    }


def _citation(w: Words) -> Any:
    authors = w.some(lambda: {"family-names": w.name(), "given-names": "Ada", "orcid": "https://orcid.org/0000"})
    head = {"cff-version": "1.2.0", "message": w.text(), "date-released": Raw("2024-01-31"), "version": Raw("1.10")}
    return {**head, "authors": authors, "doi": Raw("10.5281/zenodo.1"), "abstract": w.lines()}


def _dependabot(w: Words) -> Any:
    update = {
        "package-ecosystem": "pip",
        "directory": Raw('"/"'),
        "schedule": {"interval": "weekly"},
        "labels": w.names(),
    }
    return {"version": 2, "updates": [update] * w.rng.randint(1, 3)}


def _home_assistant(w: Words) -> Any:
    automation = {"alias": w.text(), "trigger": {"platform": "time", "at": Raw("'07:00:00'")}, "action": w.tree(2)}
    secrets = {"api_key": Raw("!secret api_key"), "password": w.text(1), "url": Raw("http://10.0.0.1:8123")}
    rest = {"sensor": Raw("!include sensors.yaml"), "script": Raw("!include_dir_merge_named scripts/")}
    return {"homeassistant": secrets, **rest, "automation": [automation], "logger": None, "sun": None}


def _translations(w: Words) -> Any:
    texts = {name: {"title": w.text(), "one": "%{count} Eintrag", "other": "%{count} Einträge"} for name in w.names(8)}
    return {
        w.rng.choice(["de", "ja", "no", "pt-BR"]): {
            **texts,
            "yes": "Ja",
            "no": "Nein",
            "date": {"order": Raw("[:day]")},
        }
    }


def _ros_params(w: Words) -> Any:
    return {
        f"/{name}": {"ros__parameters": {"gain": 0.5, "frames": w.names(), "matrix": Raw("[1.0, 0, .5]")}}
        for name in w.names()
    }


def _ros_launch(w: Words) -> Any:
    node = {"node": {"pkg": w.name(), "exec": w.name(), "param": [{"name": "x", "value": Raw('"$(var x)"')}]}}
    return {"launch": [{"arg": {"name": "x", "default": "1"}}, *[node] * w.rng.randint(1, 4)]}


def _book(w: Words) -> Any:
    parts = w.some(lambda: {"caption": w.text(3), "chapters": [{"file": f"{w.name()}/intro"}, {"glob": "x/*"}]})
    return {"format": "jb-book", "root": "intro", "parts": parts}


def _netplan(w: Words) -> Any:
    card = {"dhcp4": False, "addresses": Raw("[192.0.2.5/24, 'fd00::1/64']"), "nameservers": {"addresses": ["9.9.9.9"]}}
    return {"network": {"version": 2, "renderer": "networkd", "ethernets": {f"eth{n}": card for n in range(3)}}}


def _cloud_init(w: Words) -> Any:
    files = w.some(lambda: {"path": f"/etc/{w.name()}", "permissions": Raw("0600"), "content": w.lines()})
    rest = {
        "runcmd": w.some(lambda: Raw('[sh, -c, "echo hi"]')),
        "users": ["default", {"name": w.name(), "sudo": False}],
    }
    return "#cloud-config\n" + _plain(w, {"package_update": True, "write_files": files, **rest})


def _plain(w: Words, data: Any) -> str:
    from tests.support.foreign_yaml import Writer

    return Writer(w).document(data)


def _merges(w: Words) -> Any:
    return (
        f"defaults: &base\n  adapter: postgres\n  pool: {w.number()}\n  password: {w.name()}\n"
        + "".join(f"{name}:\n  <<: *base\n  database: {w.name()}\n" for name in w.names(5))
        + f"other:\n  <<: [*base, {{timeout: {w.number()}}}]\n"
    )


def _deep(w: Words) -> Any:
    data: Any = w.text()
    for _ in range(w.rng.randint(10, 60)):
        data = {w.name(): data} if w.maybe(0.7) else [data]
    return {"root": data, "rest": w.tree(4)}


def _odd_keys(w: Words) -> Any:
    keys = ["8080", "3.14", "null", "true", "? [a, b]\n", "'*'", '"a b"', "2024-01-01", "~", "[x]", "on", "-1", "<<"]
    return "".join(f"{key}: {w.number()}\n" for key in w.rng.sample(keys, 6)) + f"{w.name()}: 1\n{w.name()}: 2\n"


def _log_lines(w: Words) -> Any:
    return "".join(
        f"2024-01-{n + 10} {w.rng.choice(['INFO', 'WARN'])} {w.text()}\n" for n in range(w.rng.randint(1, 9))
    )


def _jinja(w: Words) -> Any:
    lines = [f"{{% set name = '{w.name()}' %}}", "package:", "  name: {{ name }}", f"  version: {w.version()}"]
    lines += ["{% for each in items %}", "  - {{ each }}", "{% endfor %}", "build:", "  number: 0  # [win]"]
    return "\n".join(lines) + "\n"


def _tasks_file(w: Words) -> Any:
    tasks = {name: {"deps": w.names(), "cmds": [{"task": w.name()}, w.text()], "silent": True} for name in w.names()}
    return {"version": Raw("'3'"), "vars": {"X": {"sh": "date"}}, "tasks": tasks}


def _secrets(w: Words) -> Any:
    return {"password": w.text(1), "api_key": f"k{w.number()}", "database": {"token": w.text(1)}, "hosts": w.names()}


def _json(w: Words) -> Any:
    import json

    data = {"name": w.name(), "scripts": {"test": w.text()}, "version": w.version(), "nested": w.tree(3)}
    return json.dumps(data, indent=w.rng.choice([None, 2, 4]), ensure_ascii=False) + "\n"


def _comments_only(w: Words) -> Any:
    return "".join(f"#{w.rng.choice([' ', ''])}{w.name()}: {w.text()}\n" for _ in range(w.rng.randint(1, 20)))


def _any(w: Words) -> Any:
    return w.rng.choice([{w.name(): w.tree(6) for _ in range(5)}, w.some(lambda: w.tree(4), 1, 5)])


STYLES: dict[str, Style] = {
    "compose": _compose,
    "workflow": _workflow,
    "circle": _circle,
    "azure": _azure,
    "gitlab": _gitlab,
    "kubernetes": _kubernetes,
    "helm-values": _helm_values,
    "helm-template": _helm_template,
    "playbook": _playbook,
    "inventory": _inventory,
    "openapi": _openapi,
    "pre-commit": _pre_commit,
    "mkdocs": _mkdocs,
    "cloudformation": _cloudformation,
    "travis": _travis,
    "prometheus": _prometheus,
    "alerts": _alerts,
    "process-compose": _process_compose,
    "programs": _programs,
    "conda": _conda,
    "citation": _citation,
    "dependabot": _dependabot,
    "home-assistant": _home_assistant,
    "translations": _translations,
    "ros-params": _ros_params,
    "ros-launch": _ros_launch,
    "book": _book,
    "netplan": _netplan,
    "cloud-init": _cloud_init,
    "merges": _merges,
    "deep": _deep,
    "odd-keys": _odd_keys,
    "log-lines": _log_lines,
    "jinja": _jinja,
    "tasks-file": _tasks_file,
    "secrets": _secrets,
    "json": _json,
    "comments-only": _comments_only,
    "any": _any,
}
