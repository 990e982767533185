"""Talking to Kubernetes: the only package that imports ``kubernetes``.

From below: ``transport`` (sockets, proxies, lines), ``plugin`` and ``credentials`` (who we are),
``answers`` (errors), ``client`` (requests, streams, websockets), ``objects`` (kinds and verbs);
on these ``watch`` (live copies), ``logs``, ``streams`` (port-forward). ``pods`` (what a pod
does, in words) and ``rbac`` (the rights all this needs) are pure.
"""
