"""The API as a client sees it: verbs, lists, errors, access."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_kube.localcluster import LocalCluster

from .apiclient import JOBS, PODS, SECRETS, ApiClient, pod

MERGE = "application/merge-patch+json"


def secret(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **more}


async def test_an_object_is_created_read_patched_replaced_and_deleted(api: ApiClient) -> None:
    made = await api.post(SECRETS, secret("a", stringData={"x": "y"}))
    assert made.code == 201
    assert made.json["data"] == {"x": "eQ=="}
    assert (made.json["kind"], made.json["apiVersion"]) == ("Secret", "v1")
    patched = await api.request("PATCH", f"{SECRETS}/a", {"data": {"x": None}}, MERGE)
    assert patched.json["data"] == {}
    replaced = await api.request("PUT", f"{SECRETS}/a", {**patched.json, "data": {"z": "eQ=="}})
    assert replaced.json["data"] == {"z": "eQ=="}
    assert (await api.get(f"{SECRETS}/a")).json == replaced.json
    gone = await api.request("DELETE", f"{SECRETS}/a")
    assert gone.json["status"] == "Success"
    missing = await api.get(f"{SECRETS}/a")
    assert missing.code == 404
    assert missing.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'secrets "a" not found',
        "reason": "NotFound",
        "details": {"name": "a", "kind": "secrets"},
        "code": 404,
    }


async def test_a_taken_name_conflicts(api: ApiClient) -> None:
    await api.post(SECRETS, secret("a"))
    again = await api.post(SECRETS, secret("a"))
    assert (again.code, again.json["reason"]) == (409, "AlreadyExists")
    assert again.message == 'secrets "a" already exists'


async def test_errors_of_other_groups_name_the_group(api: ApiClient) -> None:
    assert (await api.get(f"{JOBS}/j")).message == 'jobs.batch "j" not found'


async def test_items_of_a_list_do_not_repeat_their_kind(api: ApiClient) -> None:
    await api.post(SECRETS, secret("a"))
    listed = (await api.get(SECRETS)).json
    assert listed["kind"] == "SecretList"
    assert int(listed["metadata"]["resourceVersion"]) > 1
    assert "kind" not in listed["items"][0]


async def test_a_list_can_be_of_an_earlier_moment(api: ApiClient) -> None:
    first = (await api.post(SECRETS, secret("a", stringData={"x": "y"}))).json
    second = (await api.post(SECRETS, secret("b"))).json
    await api.post(SECRETS, secret("c"))
    await api.request("PATCH", f"{SECRETS}/a", {"data": {"x": None}}, MERGE)
    await api.request("DELETE", f"{SECRETS}/b")

    async def at(version: str) -> Any:
        query = {"resourceVersion": version, "resourceVersionMatch": "Exact"}
        return (await api.get(SECRETS, **query)).json

    then = await at(second["metadata"]["resourceVersion"])
    assert then["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert [item["metadata"]["name"] for item in then["items"]] == ["a", "b"]
    assert then["items"][0]["data"] == first["data"]
    assert [item["metadata"]["name"] for item in (await api.get(SECRETS)).json["items"]] == [
        "a",
        "c",
    ]
    assert (await at("0"))["code"] == 410
    assert (await at("1000000"))["code"] == 504


async def test_a_pod_of_an_account_that_is_not_there_is_refused(api: ApiClient) -> None:
    refused = await api.post(PODS, pod("p", serviceAccountName="nobody"))
    assert (refused.code, refused.message) == (
        403,
        (
            'pods "p" is forbidden: error looking up service account default/nobody: '
            'serviceaccount "nobody" not found'
        ),
    )


async def test_a_list_comes_in_pieces(api: ApiClient) -> None:
    for name in "abcde":
        await api.post(SECRETS, secret(name))
    names, token = [], ""
    for expected, left in ((2, 3), (2, 1), (1, None)):
        page = (await api.get(SECRETS, limit="2", **{"continue": token})).json
        assert len(page["items"]) == expected
        assert page["metadata"].get("remainingItemCount") == left
        names += [each["metadata"]["name"] for each in page["items"]]
        token = page["metadata"].get("continue", "")
    assert names == list("abcde")
    assert token == ""


async def test_lists_are_selected_from(api: ApiClient) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"}), ("c", {})):
        await api.post(SECRETS, {"metadata": {"name": name, "labels": labels}})
    by_label = (await api.get(SECRETS, labelSelector="x in (1,2),x!=2")).json
    assert [each["metadata"]["name"] for each in by_label["items"]] == ["a"]
    by_field = (await api.get(SECRETS, fieldSelector="metadata.name=c")).json
    assert [each["metadata"]["name"] for each in by_field["items"]] == ["c"]
    assert (await api.get(SECRETS, fieldSelector="data.x=c")).code == 400
    everywhere = (await api.get("/api/v1/secrets")).json
    assert len(everywhere["items"]) == 3


async def test_all_that_match_are_deleted_together(api: ApiClient) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {})):
        await api.post(SECRETS, {"metadata": {"name": name, "labels": labels}})
    gone = await api.request("DELETE", SECRETS, labelSelector="x=1")
    assert len(gone.json["items"]) == 2
    left = (await api.get(SECRETS)).json["items"]
    assert [each["metadata"]["name"] for each in left] == ["c"]


async def test_a_dry_run_of_each_verb_changes_nothing(api: ApiClient) -> None:
    assert (await api.post(SECRETS, secret("a"), dryRun="All")).code == 201
    assert (await api.get(f"{SECRETS}/a")).code == 404
    await api.post(SECRETS, secret("a"))
    before = (await api.get(f"{SECRETS}/a")).json
    patch = {"data": {"x": "eQ=="}}
    patched = await api.request("PATCH", f"{SECRETS}/a", patch, MERGE, dryRun="All")
    assert patched.json["data"] == {"x": "eQ=="}
    await api.request("PUT", f"{SECRETS}/a", {**before, **patch}, dryRun="All")
    await api.request("DELETE", f"{SECRETS}/a", dryRun="All")
    await api.request("DELETE", f"{SECRETS}/a", {"dryRun": ["All"]})
    assert (await api.get(f"{SECRETS}/a")).json == before
    assert (await api.post(SECRETS, secret("b"), dryRun="Some")).code == 422


async def test_a_delete_means_one_object(api: ApiClient) -> None:
    uid = (await api.post(SECRETS, secret("a"))).json["metadata"]["uid"]
    wrong = await api.request("DELETE", f"{SECRETS}/a", {"preconditions": {"uid": "other"}})
    assert (wrong.code, wrong.json["reason"]) == (409, "Conflict")
    right = await api.request("DELETE", f"{SECRETS}/a", {"preconditions": {"uid": uid}})
    assert right.code == 200


async def test_server_side_apply_creates_and_changes(api: ApiClient) -> None:
    body = b"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {x: y}\n"
    apply = "application/apply-patch+yaml"
    first = await api.request("PATCH", f"{SECRETS}/a", body, apply, fieldManager="t")
    again = await api.request("PATCH", f"{SECRETS}/a", body, apply, fieldManager="t")
    assert (first.code, again.code) == (201, 200)
    assert again.json == first.json


async def test_a_pod_has_its_defaults(api: ApiClient) -> None:
    container = {"name": "m", "image": "python:3"}
    made = await api.post(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    spec = made.json["spec"]
    assert made.json["status"]["phase"] == "Pending"
    assert spec["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["serviceAccountName"] == "default"
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert spec["containers"][0]["terminationMessagePath"] == "/dev/termination-log"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        (
            {"containers": [{"name": "Not Allowed", "image": "x"}]},
            'spec.containers[0].name: Invalid value: "Not Allowed": a lowercase RFC 1123 label',
        ),
        ({"containers": [{"name": "m"}]}, "spec.containers[0].image: Required value"),
        (
            {"containers": [{"name": "m", "image": "x"}, {"name": "m", "image": "x"}]},
            'spec.containers[1].name: Duplicate value: "m"',
        ),
        (
            {"containers": [{"name": "m", "image": "x", "env": [{"name": "a=b"}]}]},
            "spec.containers[0].env[0].name: Invalid value",
        ),
        (
            {"containers": [{"name": "m", "image": "x", "volumeMounts": [{"name": "v"}]}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            {
                "containers": [
                    {
                        "name": "m",
                        "image": "x",
                        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
                    }
                ]
            },
            "must be less than or equal to cpu limit of 1",
        ),
        ({"restartPolicy": "Sometimes"}, 'spec.restartPolicy: Unsupported value: "Sometimes"'),
    ],
)
async def test_an_invalid_pod_is_refused_with_its_fields(
    api: ApiClient, change: dict[str, Any], message: str
) -> None:
    refused = await api.post(PODS, pod("p", **change))
    assert (refused.code, refused.json["reason"]) == (422, "Invalid")
    assert refused.message.startswith('Pod "p" is invalid: ')
    assert message in refused.message
    assert refused.json["details"]["causes"][0]["field"] in refused.message


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"name": "Upper"}, 'metadata.name: Invalid value: "Upper"'),
        ({}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "a", "labels": {"x": "not ok"}}, 'metadata.labels: Invalid value: "not ok"'),
        ({"name": "a", "labels": {"-": "x"}}, 'metadata.labels: Invalid value: "-"'),
    ],
)
async def test_bad_names_and_labels_are_refused(
    api: ApiClient, meta: dict[str, Any], message: str
) -> None:
    refused = await api.post(SECRETS, {"metadata": meta})
    assert refused.code == 422
    assert message in refused.message


async def test_a_number_as_a_variable_is_refused_by_the_decoder(api: ApiClient) -> None:
    manifest = pod("p")
    manifest["spec"]["containers"][0]["env"] = [{"name": "A", "value": 1}]
    refused = await api.post(PODS, manifest)
    assert (refused.code, refused.json["reason"]) == (400, "BadRequest")
    assert "cannot unmarshal number" in refused.message
    assert "EnvVar.spec.containers.env.value of type string" in refused.message


async def test_a_bad_quantity_is_refused_by_the_decoder(api: ApiClient) -> None:
    manifest = pod("p")
    manifest["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "much"}}
    refused = await api.post(PODS, manifest)
    assert refused.code == 400
    assert "quantities must match the regular expression" in refused.message


@pytest.mark.parametrize("body", [b"[]", b"{", b"null", b'{"metadata": []}', b'{"spec": 1}'])
async def test_what_is_no_object_is_refused(api: ApiClient, body: bytes) -> None:
    assert (await api.request("POST", PODS, body)).code in {400, 422}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "Pod"}, 'Pod in version "v1" cannot be handled as a Secret'),
        ({"apiVersion": "v2"}, 'Secret in version "v2" cannot be handled as a Secret'),
        ({"metadata": {"namespace": "x"}}, "the namespace of the provided object does not match"),
    ],
)
async def test_a_body_must_be_what_the_path_says(api: ApiClient, body: Any, message: str) -> None:
    refused = await api.post(SECRETS, body)
    assert refused.code == 400
    assert message in refused.message


async def test_a_jobs_template_stays(api: ApiClient) -> None:
    template = {"spec": pod("x")["spec"]}
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "suspend": True}
    job = {"metadata": {"name": "j"}, "spec": {**spec, "template": template}}
    made = (await api.post(JOBS, job)).json
    assert made["spec"]["backoffLimit"] == 6
    both = {"spec": {"completions": 3, "parallelism": 3}}
    assert (await api.request("PATCH", f"{JOBS}/j", both, MERGE)).code == 200
    one = await api.request("PATCH", f"{JOBS}/j", {"spec": {"completions": 4}}, MERGE)
    assert (one.code, "in tandem" in one.message) == (422, True)
    mode = await api.request("PATCH", f"{JOBS}/j", {"spec": {"completionMode": "x"}}, MERGE)
    assert "field is immutable" in mode.message


async def test_immutable_secrets_stay(api: ApiClient) -> None:
    await api.post(SECRETS, secret("a", immutable=True, stringData={"x": "y"}))
    refused = await api.request("PATCH", f"{SECRETS}/a", {"data": {"x": "eg=="}}, MERGE)
    assert (refused.code, "immutable" in refused.message) == (422, True)
    assert (await api.post(SECRETS, secret("b", data={"x": "not base64"}))).code == 400
    large = await api.post(SECRETS, secret("c", stringData={"x": "y" * (1024 * 1024 + 1)}))
    assert "Too long" in large.message


async def test_pod_security_restricted_is_enforced_where_the_label_says_so(api: ApiClient) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await api.post("/api/v1/namespaces", {"metadata": {"name": "safe", "labels": labels}})
    pods = "/api/v1/namespaces/safe/pods"
    refused = await api.post(pods, pod("p"))
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    assert refused.message == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "main" must set '
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "
        '"main" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or '
        'container "main" must set securityContext.runAsNonRoot=true), seccompProfile (pod or '
        'container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    host = {"name": "v", "hostPath": {"path": "/"}}
    bad = await api.post(pods, pod("p", volumes=[host], securityContext={"runAsUser": 0}))
    assert 'restricted volume types (volume "v" uses restricted volume type "hostPath")' in (
        bad.message
    )
    assert "runAsUser=0 (pod must not set runAsUser=0)" in bad.message
    good = pod(
        "p", securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    )
    good["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (await api.post(pods, good)).code == 201


@pytest.mark.parametrize("token", ["", "wrong", "ZGVmYXVsdDphY2NvdW50.00", "ä"])
async def test_nobody_without_a_token_is_answered(cluster: LocalCluster, token: str) -> None:
    client = ApiClient(cluster, token.encode().decode("latin-1"))
    refused = await client.get(PODS)
    client.close()
    assert (refused.code, refused.json["reason"]) == (401, "Unauthorized")


async def test_the_token_may_be_in_the_path(cluster: LocalCluster) -> None:
    client = ApiClient(cluster, "")
    assert (await client.get(f"/as/{cluster.token}{PODS}")).code == 200
    assert (await client.get(f"/as/x{PODS}")).code == 401
    client.close()


async def test_a_service_account_may_do_what_its_role_grants(api: ApiClient) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "get"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["get"]},
    ]
    await api.post(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "worker"}],
    }
    await api.post(f"{rbac}/rolebindings", binding)
    await api.post(SECRETS, secret("mine"))
    token = api.cluster.account_token("default", "worker")
    worker = ApiClient(api.cluster, token)
    assert (await worker.get(PODS)).code == 200
    assert (await worker.get(f"{SECRETS}/mine")).code == 200
    refused = await worker.post(PODS, pod("p"))
    assert refused.code == 403
    assert refused.message == (
        'pods is forbidden: User "system:serviceaccount:default:worker" cannot create resource '
        '"pods" in API group "" in the namespace "default"'
    )
    assert (await worker.get(f"{SECRETS}/other")).code == 403
    assert (await worker.get("/api/v1/nodes")).message.endswith("at the cluster scope")
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for verb, allowed in (("list", True), ("create", False)):
        attributes = {"namespace": "default", "verb": verb, "resource": "pods"}
        answer = await worker.post(review, {"spec": {"resourceAttributes": attributes}})
        assert answer.json["status"]["allowed"] is allowed
    reviewed = await worker.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert reviewed.json["status"]["userInfo"]["username"].endswith(":default:worker")
    worker.close()


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/api/v1/nothing", "/apis/none/v1", "/api/v1/namespaces/default/nodes", "/api/v2"],
)
async def test_what_is_not_there_is_not_found(api: ApiClient, path: str) -> None:
    answer = await api.get(path)
    assert answer.code == 404
    assert answer.message == "the server could not find the requested resource"


async def test_discovery_lists_what_is_served(api: ApiClient) -> None:
    core = (await api.get("/api/v1")).json["resources"]
    assert {"pods", "pods/log", "secrets", "events"} <= {each["name"] for each in core}
    groups = {each["name"] for each in (await api.get("/apis")).json["groups"]}
    assert {"batch", "authorization.k8s.io"} <= groups
    batch = (await api.get("/apis/batch/v1")).json
    assert batch["groupVersion"] == "batch/v1"
    assert (await api.get("/version")).json["minor"] == "35"


async def test_an_eviction_deletes_the_pod_and_says_why(api: ApiClient) -> None:
    gpus = {"resources": {"limits": {"nvidia.com/gpu": "9"}}}
    manifest = pod("p")
    manifest["spec"]["containers"][0] |= gpus
    await api.post(PODS, manifest)
    assert (await api.post(f"{PODS}/p/eviction", {"metadata": {"name": "p"}})).code == 201
    assert (await api.get(f"{PODS}/p")).code == 404
