/** Code of cells that run on workers. */

/** Goes on until `Cluster.finish`. */
export const UNTIL_FINISHED =
  'while not (pathlib.Path.home() / "go").exists():';

/** Prints and reports, five times a second. */
export const STEADY = `import pathlib, time
step = 0
${UNTIL_FINISHED}
    step += 1
    print("step", step, "of rank", kube.rank)
    kube.report(step=step, loss=1 / step)
    time.sleep(0.2)
print("ended")`;

/** One rank of two fails, once it is let; the other would go on for long. */
export const FAILING = `import pathlib, time
print("begun")
${UNTIL_FINISHED}
    time.sleep(0.1)
if kube.rank == 1:
    raise ValueError("no such digit")
time.sleep(600)`;
