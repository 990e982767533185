module jupyter-kube.test/pause

go 1.26
