"""Compares what the operator and the agents on nodes may do with what they did: nothing was refused, and no right is unused.

    docker exec NODE zcat -f /var/log/kubernetes/audit/log* | rights.py --since TIME --taken FILE [--all]

On stdin is the audit log of the API server, as manifests/audit.yaml makes it. What they may do is read from the cluster. Unused
rights are looked for with --all only: some stories alone do not do everything. Times are in UTC as
`date -u +%FT%T` writes them; a line of FILE is `from TIME`, when rights were taken away on purpose, or `until TIME`.
"""

import argparse
import collections
import json
import subprocess
import sys

OPERATOR = "system:serviceaccount:roadstead-system:roadstead-operator"
AGENT = "system:serviceaccount:roadstead-nodes:node-trust"

# What the log cannot show, and why the right is needed all the same. As little as possible.
UNSEEN = {
    (OPERATOR, "roadstead.dev/registries/finalizers update"): "OwnerReferencesPermissionEnforcement asks for it within other "
    "requests; tests/kind/up turns that on, so without it every object that the operator makes would be refused",
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--since", required=True)
    parser.add_argument("--taken", required=True)
    parser.add_argument("--all", action="store_true")
    return parser.parse_args()


def taken_away(path):
    """The times between which rights were taken away, as pairs."""
    pairs, begin = [], None
    with open(path) as file:
        for word, time in (line.split() for line in file):
            if word == "from":
                begin = begin or time
            elif begin:
                pairs.append((begin, time))
                begin = None
    return pairs + [(begin, "9")] * (begin is not None)


def right(event):
    object = event["objectRef"]
    resource = "/".join(filter(None, [object["resource"], object.get("subresource")]))
    return f"{object.get('apiGroup', '')}/{resource} {event['verb']}"


def is_refused(event):
    """By its rights: a namespace that is being deleted, and a kind that was installed just now, are refused with the same code."""
    status = event.get("responseStatus", {})
    excused = ["because it is being terminated", "no matches for kind"]
    return status.get("code") == 403 and not any(text in status.get("message", "") for text in excused)


def read(lines, since, taken):
    """What was used, by account and namespace; what was refused, how often and for which object at first."""
    used, refused, count = collections.defaultdict(set), {}, 0
    for line in lines:
        event = json.loads(line)
        at = event["requestReceivedTimestamp"]
        if at < since or "objectRef" not in event and not is_refused(event):
            continue
        count += 1
        who = event["user"]["username"]
        if is_refused(event):
            if any(begin <= at < end for begin, end in taken):
                continue
            what = right(event) if "objectRef" in event else f"{event['verb']} {event['requestURI']}"
            said = event["responseStatus"].get("message", "")
            times, first = refused.get((who, what), (0, f"{at} {said}"))
            refused[who, what] = times + 1, first
            continue
        namespace = event["objectRef"].get("namespace")
        used[who, namespace].add(right(event))
        # Applying what was not there is a patch that needs the right to create as well.
        if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == 201:
            used[who, namespace].add(right(event).removesuffix("patch") + "create")
    return used, refused, count


def listed(kinds):
    text = subprocess.run(["kubectl", "get", kinds, "-A", "-o", "json"], check=True, capture_output=True).stdout
    return json.loads(text)["items"]


def granted():
    """Each right as account, namespace (none: everywhere) and what it is for."""
    roles = {}
    for role in listed("clusterroles,roles"):
        metadata = role["metadata"]
        roles[role["kind"], metadata.get("namespace"), metadata["name"]] = role.get("rules") or []
    for binding in listed("clusterrolebindings,rolebindings"):
        namespace = binding["metadata"].get("namespace")
        reference = binding["roleRef"]
        for subject in binding.get("subjects") or []:
            account = f"system:serviceaccount:{subject.get('namespace')}:{subject['name']}"
            if subject["kind"] != "ServiceAccount" or account not in (OPERATOR, AGENT):
                continue
            for rule in roles[reference["kind"], namespace if reference["kind"] == "Role" else None, reference["name"]]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        for verb in rule["verbs"]:
                            yield account, namespace, f"{group}/{resource} {verb}"


def unused(rights, used):
    own = {(account, namespace) for account, namespace, _ in rights if namespace}
    complaints = []
    for account, namespace, what in rights:
        # Where an account has a role of its own, what it does there is no reason for one that is good everywhere.
        where = {of[1] for of in used if of[0] == account and (of[1] == namespace if namespace else of not in own)}
        is_used = any(what in used[account, there] for there in where)
        if is_used and (account, what) in UNSEEN:
            complaints.append(f"{account}: {what} is said to be unseen, and was seen")
        if not is_used and (account, what) not in UNSEEN:
            complaints.append(f"{account}: {what}, in {namespace or 'all namespaces'}, was never used")
    given = {(account, what) for account, _, what in rights}
    complaints += [f"{account}: {what} is said to be unseen, and is not granted" for account, what in UNSEEN.keys() - given]
    return complaints


def main():
    args = arguments()
    used, refused, count = read(sys.stdin, args.since, taken_away(args.taken))
    rights = sorted(set(granted()), key=str)
    complaints = [f"{who}: {what} was refused {times} times, first {first}" for (who, what), (times, first) in sorted(refused.items())]
    if args.all:
        complaints += unused(rights, used)
        for (account, what), why in UNSEEN.items():
            print(f"    {account}: {what} is not in the log: {why}")
    if not any(account == OPERATOR for account, _ in used) or not rights:
        complaints.append("the log has no request of the operator, or it has no rights: made by an older tests/kind/up?")
    for complaint in complaints:
        print(f"  | {complaint}")
    print(f"    {count} requests, {len(rights)} rights, {len(complaints)} complaints")
    sys.exit(1 if complaints else 0)


main()
