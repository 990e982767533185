/** Code of cells that run on workers; they go on until `Cluster.finish`. */

/** Where a worker finds that it may end: by its pod, since pods of the local cluster share a disk. */
const BEGIN = `import os, pathlib, time
go = pathlib.Path("/tmp", os.environ["POD_NAME"] + "-go")`;

/** Prints and reports, five times a second. */
export const STEADY = `${BEGIN}
step = 0
while not go.exists():
    step += 1
    print("step", step, "of rank", kube.rank)
    kube.report(step=step, loss=1 / step)
    time.sleep(0.2)
go.unlink()`;

/** One rank of two fails; the other would go on for long. */
export const FAILING = `${BEGIN}
print("begun")
while not go.exists():
    time.sleep(0.1)
go.unlink()
if kube.rank == 1:
    raise ValueError("no such digit")
time.sleep(600)`;
