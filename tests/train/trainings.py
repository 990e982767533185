"""A small model in each framework, that goes on from a checkpoint: parts of cells."""

BEGIN = """
import pathlib
kept, epochs, end = (pathlib.Path(kube.checkpoint_dir, n) for n in ("w.h5", "epochs", "end"))
first = epoch = int(epochs.read_text()) if epochs.exists() else 0
source = "a checkpoint" if epoch else "nothing"
print(f"rank {kube.rank} of {kube.world_size} from {source}", flush=True)
"""

TENSORFLOW = """
import numpy, tf_keras as keras
model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
x = numpy.random.default_rng(0).normal(size=(64, 8)).astype("float32")
y = x.sum(axis=1)
if epoch: model.load_weights(kept)
def train():
    data = kube.shard(x), kube.shard(y)
    return model.fit(*data, batch_size=8, verbose=0).history["loss"][0]
def save(path):
    model.save_weights(path)
"""

PYTORCH = """
import torch
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.05)
x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
y = x.sum(axis=1, keepdim=True)
if epoch: model.module.load_state_dict(torch.load(kept))
def train():
    loss = torch.nn.functional.mse_loss(model(kube.shard(x)), kube.shard(y))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
def save(path):
    torch.save(model.module.state_dict(), path)
"""

PADDLE = """
import numpy, paddle
model = paddle.DataParallel(paddle.nn.Linear(8, 1))
optimizer = paddle.optimizer.SGD(0.05, parameters=model.parameters())
x = numpy.random.default_rng(0).normal(size=(64, 8)).astype("float32")
y = x.sum(axis=1, keepdims=True)
if epoch: model.set_state_dict(paddle.load(str(kept)))
def train():
    part, wanted = paddle.to_tensor(kube.shard(x)), paddle.to_tensor(kube.shard(y))
    loss = paddle.nn.functional.mse_loss(model(part), wanted)
    loss.backward()
    optimizer.step()
    optimizer.clear_grad()
    return loss.item()
def save(path):
    paddle.save(model.state_dict(), str(path))
"""

TRAININGS = {"tensorflow": TENSORFLOW, "pytorch": PYTORCH, "paddle": PADDLE}
"""Each defines ``train``, one epoch that returns its loss, and ``save``."""
