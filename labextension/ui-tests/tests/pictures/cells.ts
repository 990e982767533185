/** What the notebooks in the pictures hold. */

export const LOAD = `%load_ext jupyter_kube
import random

points = []
for _ in range(3000):
    x = random.uniform(-1, 1)
    points.append((x, 3 * x + 2 + random.gauss(0, 0.3)))


def step(points, slope, offset, rate=0.1):
    off = [slope * x + offset - y for x, y in points]
    slope -= rate * sum(e * x for e, (x, _) in zip(off, points)) / len(points)
    offset -= rate * sum(off) / len(points)
    return slope, offset, sum(e * e for e in off) / len(points)`;

/** A cell that trains for so many epochs. */
export function training(epochs: number, pause = 0.1, every = 10): string {
  return `import time

slope, offset = 0.0, 0.0
for epoch in range(1, ${epochs} + 1):
    slope, offset, loss = step(kube.shard(points), slope, offset)
    kube.report(epoch=epoch, epochs=${epochs}, loss=loss)
    if epoch % ${every} == 0:
        print(f"epoch {epoch}: y = {slope:.2f} x + {offset:.2f}")
    time.sleep(${pause})  # as if there were more to do`;
}

export const FAILING = `%%kubetrain python -w 3 --name odd
share = kube.shard(points)
if kube.rank == 2:
    raise ValueError(f"there is something odd among these {len(share)} points")`;
