"""Run a model once and collect what every map is made of: activations, gradients and scores.

The encoder runs without a graph up to the chosen layer. There its output becomes a leaf, repeated once per target, and
gradients are recorded from it on: one forward and one backward give the exact gradients of all targets, nothing
before the layer is kept, and no parameter receives a gradient.
"""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmcam.grids import Grid, grid_of
from mmcam.weights import absent, unrecordable, untrained

Target = Callable[[Any], Tensor]
"""Turns the model's output for N pictures into N scores."""

Forward = Callable[[Tensor, int], Any]
"""(pictures (N,C,H,W), copies) → the model's output; from the layer on, every tensor has fan·copies·N rows."""

ROWS = 64
"""Rows (targets × pictures) sent through the layers after the chosen one at a time, unless told otherwise."""


class ExplainError(ValueError):
    """Something asked of the engine cannot be done; the message is one sentence that names the remedy."""


@dataclass(frozen=True)
class Evidence:
    """What a target's map is computed from, on the model's device and in its dtype.

    Attributes:
        activations: A (N, K, h, w), the layer's output.
        gradients: dS/dA (T, N, K, h, w).
        scores: S (T, N).
        cells: 1 at the cells that count, (1 or N, 1, h, w); None for all.
    """

    activations: Tensor
    gradients: Tensor
    scores: Tensor
    cells: Tensor | None = None


def run(
    model: nn.Module,
    forward: Forward,
    x: Tensor,
    targets: Sequence[Target],
    layer: str,
    *,
    call: int | None = None,
    fan: int = 1,
    versions: int = 1,
    zero: bool = False,
    rows: int = ROWS,
) -> Evidence:
    """Activations at a layer and the gradient of every target with respect to them.

    Args:
        model: the module that holds `layer`; left exactly as found, also after an exception.
        forward: runs the model on the pictures, its text side (if any) on ``copies`` times as many rows.
        x: (N, C, H, W) on the model's device.
        targets: T functions from the output for N pictures to their N scores.
        layer: dotted name, as in ``model.named_modules()``.
        call: which call of a layer that runs several times in one forward, from 0.
        fan: rows of text for each picture, where a target compares versions of a text; targets then see fan·N rows.
        versions: x holds so many batches of N pictures, one after the other, and the result as many rows; targets see
            one batch at a time.
        zero: a gradient that is zero everywhere is an answer; else it is an error.
        rows: bound on the rows T·N that the layers after `layer` see at once; more targets reuse the same graph.

    Raises:
        ExplainError: the layer is unknown, never runs, runs several times, is no spatial map, or no target depends on
            it; a target returns the wrong shape.
    """
    check_recordable(model)
    tap = Tap(layer, call, picture=picture_of(x), fan=fan)
    rows = min(rows, getattr(model, "most_rows", rows))  # a model whose rows are heavy says so
    copies = max(1, min(len(targets), rows // (fan * len(x))))
    n = len(x) // versions
    with as_found(model), tap.on(model):
        added = fan * copies > 1
        output = _expanded(tap, forward, x, copies, versions) if added else forward_behind(tap, forward, x, 1, versions)
        refused = added and output is None
        if refused:
            tap.fan = 1  # rows from the beginning: the encoder sees each picture once for each version of its text
            output = forward_behind(tap, forward, torch.cat([x] * fan), 1, versions)
        leaf = tap.leaf
        copies = tap.copies
        with torch.enable_grad():
            blocks = split_rows(output, copies * versions, n, fan)
            each = [
                torch.cat([score_of(target, block, n) for block in blocks[(i % copies) * versions :][:versions]])
                for i, target in enumerate(targets)
            ]
            if not all(score.requires_grad for score in each):
                raise ExplainError(independent(layer, model))
            scores = torch.stack(each)
            gradients = _batched(scores, leaf, fan) if refused else _chunked(scores, leaf, copies)
        if gradients is None or not (zero or gradients.any()):
            raise ExplainError(independent(layer, model))
    return Evidence(leaf.detach()[: len(x)], gradients, scores.detach())


def activations(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, layer: str, call: int | None = None
) -> Tensor:
    """A layer's output (N, K, h, w) without a graph; what comes after the layer is not run.

    Args:
        model: the module that holds `layer`; left exactly as found.
        forward: runs the model on pictures.
        x: (N, C, H, W) on the model's device.
        layer, call: as in `run`; without `call`, the first time the layer runs.

    Raises:
        ExplainError: the layer is unknown, never runs, or is no spatial map.
    """
    tap = Tap(layer, call, picture=picture_of(x), detach=False, stop=True)
    with as_found(model), tap.on(model):
        tap.reset(1)
        with contextlib.suppress(_Reached):
            forward(x.clone())
    tap.check()
    return tap.leaf.detach()


class _Reached(Exception):  # noqa: N818 - nothing went wrong
    """The layer has run; the rest of the forward is not needed."""


@contextlib.contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Evaluate a model without leaving a trace: eval mode, no graph, then flags and random state as they were.

    `torch.compile`d models run eagerly meanwhile, because a compiled graph never calls new hooks.
    """
    training = [module for module in model.modules() if module.training]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        if "torch._dynamo" in sys.modules:  # importing it takes seconds, and without it nothing is compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_rnn_without_cudnn(model))
        stack.enter_context(_checkpoints_run_plainly())
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


class Tap:
    """The hook on a layer: hands out its output as a fresh leaf and switches gradients on behind it.

    With ``detach=False`` (pixel methods), the output is only recorded: the graph already began at the pixels. With
    ``stop=True`` the forward is broken off there.
    """

    def __init__(
        self,
        layer: str,
        call: int | None = None,
        *,
        picture: tuple[int, int],
        fan: int = 1,
        detach: bool = True,
        stop: bool = False,
    ) -> None:
        self.layer = layer
        self.call = call
        self.picture = picture
        self.fan = fan
        self.detach = detach
        self.stop = stop
        self.copies = 1
        self.calls = 0
        self._leaf: Tensor | None = None

    @property
    def leaf(self) -> Tensor:
        """The layer's activations (copies·N, K, h, w) of the last forward."""
        assert self._leaf is not None
        return self._leaf

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Keep the hook on the layer for the length of a with-block."""
        handle: RemovableHandle = find_module(model, self.layer).register_forward_hook(self._hook)
        self._model = model
        try:
            yield
        finally:
            handle.remove()

    def reset(self, copies: int) -> None:
        """Get ready for one forward pass."""
        self.copies, self.calls, self._leaf = copies, 0, None

    def check(self) -> None:
        """Raise unless the last forward called the layer just once, or the chosen call happened."""
        if self.calls == 0:
            raise ExplainError(f"Layer {self.layer!r} is never run by this model's forward; choose one that is.")
        if self.call is None and self.calls > 1:
            raise ExplainError(
                f"Layer {self.layer!r} runs {self.calls} times in one forward; say which with call=0…{self.calls - 1}."
            )
        if self._leaf is None:
            raise ExplainError(f"Layer {self.layer!r} runs only {self.calls} times, so there is no call={self.call}.")

    def _hook(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        self.calls += 1
        if self.calls - 1 != (self.call or 0):
            return None
        tensor = first_tensor(output)
        grid = None if tensor is None else grid_at(self._model, self.layer, tensor, self.picture)
        if tensor is None or grid is None or not tensor.is_floating_point():
            form = "no tensor" if tensor is None else f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise ExplainError(
                f"Layer {self.layer!r} gives {form}, not a spatial map (N,K,h,w) or the tokens of one; `mmcam layers` "
                "lists those that do."
            )
        activations = grid.read(tensor)
        if self.detach:
            self._leaf = torch.cat([activations.detach()] * self.copies).requires_grad_()  # cat keeps channels_last
            # Grad mode outlives the hook: everything after the layer is recorded, nothing before it.
            torch.set_grad_enabled(True)
            # The model gets a copy, so an in-place operation after the layer cannot change what we explain.
            return replace_tensor(output, grid.write(tensor.detach(), torch.cat([self._leaf] * self.fan)))
        self._leaf = activations
        if self.stop:
            raise _Reached
        return replace_tensor(output, grid.write(tensor, activations.clone()))


def forward_behind(tap: Tap, forward: Forward, x: Tensor, copies: int, versions: int) -> Any:
    """One forward that records a graph behind the layer."""
    for grad in (False, True):
        tap.reset(copies)
        with torch.set_grad_enabled(grad):
            # A copy: the model may work in place on its input, and inference tensors cannot be recorded.
            output = forward(x.clone(), copies * versions)
        tap.check()
        # A model that runs its encoder in its own no_grad block switches gradients off again when the block ends.
        # Then they have to be on before it starts: the same maps, for the memory of the encoder's widest layer.
        if (tensor := first_tensor(output)) is None or tensor.requires_grad:
            break
    return output


def _expanded(tap: Tap, forward: Forward, x: Tensor, copies: int, versions: int) -> Any | None:
    """The output with every row after the layer repeated, None where the model cannot take that.

    Some models insist on the pictures' own number of rows behind the encoder; they either raise or lose the copies.
    """
    try:
        output = forward_behind(tap, forward, x, copies, versions)
    except ExplainError:
        raise
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    return output if rows_of(output) == tap.fan * copies * len(x) else None


def _chunked(scores: Tensor, leaf: Tensor, copies: int) -> Tensor | None:
    """All targets' gradients (T, N, K, h, w): as many a backward pass as the leaf has copies, the graph reused."""
    blocks = []
    for start in range(0, len(scores), copies):
        part = scores[start : start + copies]
        more = start + copies < len(scores)
        (gradient,) = torch.autograd.grad(part.sum(), leaf, retain_graph=more, allow_unused=True)
        if gradient is None:
            return None
        blocks.append(gradient.unflatten(0, (copies, -1))[: len(part)])
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def _batched(scores: Tensor, leaf: Tensor, fan: int) -> Tensor | None:
    """All targets' gradients through one un-expanded graph, vectorised where every operation allows it.

    The leaf holds the rows of `fan` equal batches of pictures, whose gradients add up.
    """
    one_hot = torch.eye(len(scores), dtype=scores.dtype, device=scores.device)[:, :, None].expand(
        -1, -1, scores.shape[1]
    )
    try:
        (gradients,) = torch.autograd.grad(
            scores, leaf, one_hot, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
    except RuntimeError:  # an operation without a batching rule: one backward a target is exact too
        rows = [torch.autograd.grad(s.sum(), leaf, retain_graph=True, allow_unused=True)[0] for s in scores]
        if all(row is None for row in rows):
            return None
        gradients = torch.stack([torch.zeros_like(leaf) if row is None else row for row in rows])
    return None if gradients is None else gradients.unflatten(1, (fan, -1)).sum(1)


def independent(layer: str, model: nn.Module) -> str:
    """The sentence for a target without a gradient at a layer of a model."""
    said = f"The target does not depend on layer {layer!r}: its gradient there is zero"
    if cause := untrained(model):
        return f"{said}, {cause}; load trained ones."
    return f"{said}; choose another layer (`mmcam layers` lists them) or another target."


def check_recordable(model: nn.Module) -> None:
    """Raise ExplainError if no gradient can be recorded through a model's weights."""
    if problem := unrecordable(model):
        raise ExplainError(problem)


def score_of(target: Target, output: Any, n: int) -> Tensor:
    """A target's scores (N,) of an output for N pictures.

    Raises:
        ExplainError: they have another shape.
    """
    score = target(output)
    if not isinstance(score, Tensor) or score.shape not in ((n,), ()) or (score.ndim == 0 and n > 1):
        form = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise ExplainError(f"A target must turn the output for {n} pictures into shape ({n},); this one gives {form}.")
    return score.reshape(n)


def split_rows(output: Any, parts: int, n: int, fan: int) -> list[Any]:
    """The fan·N rows of each of the batches an output was computed from, through whatever structure it has."""
    if parts == 1:
        return [output]

    def pick(index: int) -> Callable[[Tensor], Tensor]:
        def rows(tensor: Tensor) -> Tensor:
            if tensor.ndim == 0 or len(tensor) != fan * parts * n:
                return tensor
            return tensor.unflatten(0, (fan, parts, n))[:, index].flatten(0, 1)

        return rows

    return [map_tensors(output, pick(index)) for index in range(parts)]


def input_gradients(
    model: nn.Module,
    forward: Forward,
    x: Tensor,
    targets: Sequence[Target],
    *,
    switch: Callable[[bool], contextlib.AbstractContextManager[None]] | None = None,
    layer: str | None = None,
    call: int | None = None,
    fan: int = 1,
    versions: int = 1,
) -> tuple[Tensor, Tensor, Evidence | None]:
    """Gradients of every target with respect to the pictures, and optionally the evidence at a layer beside them.

    Args:
        model, forward, x, targets, call, fan, versions: as in `run`.
        switch: context of the backward pass; called with True around the pass to the pixels and with False around the
            pass to the layer, so that one forward serves a modified and a plain backward.
        layer: also return plain evidence there (what Guided Grad-CAM needs), from the same forward.

    Returns:
        (gradients (T, N, C, H, W), scores (T, N), evidence or None).
    """
    check_recordable(model)
    tap = Tap(layer, call, picture=picture_of(x), detach=False) if layer else None
    around = switch or (lambda on: contextlib.nullcontext())
    with as_found(model), tap.on(model) if tap else contextlib.nullcontext():
        pixels = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            if tap:
                tap.reset(1)
            # always a copy: the model may work in place on its input
            output = forward(torch.cat([pixels] * fan), versions)
            n = len(x) // versions
            blocks = split_rows(output, versions, n, fan)
            scores = [torch.cat([score_of(target, block, n) for block in blocks]) for target in targets]
        if tap:
            tap.check()
        if not all(score.requires_grad for score in scores):
            raise ExplainError("The target does not depend on the picture: it has no gradient at the pixels.")
        at_layer, at_pixels = [], []
        for i, score in enumerate(scores):
            if tap:
                with around(False):
                    (gradient,) = torch.autograd.grad(
                        score, tap.leaf, torch.ones_like(score), retain_graph=True, allow_unused=True
                    )
                if gradient is None:
                    raise ExplainError(independent(tap.layer, model))
                at_layer.append(gradient.unflatten(0, (fan, len(x))).sum(0))
            with around(True):
                (gradient,) = torch.autograd.grad(
                    score, pixels, torch.ones_like(score), retain_graph=i + 1 < len(scores), allow_unused=True
                )
            if gradient is None:
                raise ExplainError("The target does not depend on the picture: it has no gradient at the pixels.")
            at_pixels.append(gradient)
    values = torch.stack(scores).detach()
    evidence = Evidence(tap.leaf.detach()[: len(x)], torch.stack(at_layer), values) if tap else None
    if tap and evidence and not evidence.gradients.any():
        raise ExplainError(independent(tap.layer, model))
    return torch.stack(at_pixels), values, evidence


def picture_of(x: Tensor) -> tuple[int, int]:
    """(H,W) of pictures (N,C,H,W)."""
    return x.shape[-2], x.shape[-1]


def grid_at(model: nn.Module, layer: str, tensor: Tensor, picture: tuple[int, int]) -> Grid | None:
    """How a layer's output lies over the picture; None if it does not.

    A model that knows better than the shapes say, such as one that shuffles its patches, has a method
    ``grid(layer, tensor)`` that returns a `Grid` or None.
    """
    own = getattr(model, "grid", None)
    known = own(layer, tensor) if callable(own) else None
    return known or grid_of(tuple(tensor.shape), picture)


def find_module(model: nn.Module, name: str) -> nn.Module:
    """The submodule of a dotted name.

    Raises:
        ExplainError: there is none; the message lists the closest names.
    """
    modules = dict(model.named_modules())
    if name not in modules or not name:
        near = difflib.get_close_matches(name, [n for n in modules if n], n=4, cutoff=0.3)
        hint = f"did you mean {', '.join(near)}?" if near else "`mmcam layers` lists them."
        raise ExplainError(f"There is no layer {name!r} in {type(model).__name__}; {hint}")
    return modules[name]


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile wrappers.

    Raises:
        ExplainError: TorchScript and quantised modules, whose layers give no gradients; weights without values.
    """
    while isinstance(inner := getattr(model, "_orig_mod", None) or _parallel(model), nn.Module):
        model = inner
    if isinstance(model, torch.jit.ScriptModule):
        raise ExplainError("TorchScript models take no hooks on their layers; pass the Python module it was made from.")
    if any("quantized" in type(module).__module__ for module in model.modules()):
        raise ExplainError("Quantised layers have no gradients; pass the float model it was made from.")
    if problem := absent(model):
        raise ExplainError(problem)
    return model


def _parallel(model: nn.Module) -> nn.Module | None:
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, wrappers) else None


@contextlib.contextmanager
def _rnn_without_cudnn(model: nn.Module) -> Iterator[None]:
    """cuDNN refuses an RNN's backward in eval mode (pytorch#15788), so RNNs on CUDA use the native kernels meanwhile.

    Only while an RNN runs: the convolutions keep cuDNN.
    """
    found = torch.backends.cudnn.enabled
    handles: list[RemovableHandle] = []

    def off(module: nn.Module, inputs: Any) -> None:
        torch.backends.cudnn.enabled = False

    def back(module: nn.Module, inputs: Any, output: Any) -> None:
        torch.backends.cudnn.enabled = found

    try:
        for module in model.modules():
            if isinstance(module, nn.RNNBase) and any(p.is_cuda for p in module.parameters()):
                handles += [module.register_forward_pre_hook(off), module.register_forward_hook(back)]
        yield
    finally:
        for handle in handles:
            handle.remove()
        torch.backends.cudnn.enabled = found


@contextlib.contextmanager
def _checkpoints_run_plainly() -> Iterator[None]:
    """Re-entrant checkpoints record no graph of what they run and refuse `torch.autograd.grad`, so they stand aside.

    Their segments run as if they were not there, which gives the same numbers. The other kind of checkpoints works.
    """
    function = torch.utils.checkpoint.CheckpointFunction
    if "apply" in vars(function):  # an outer call has seen to it
        yield
        return
    function.apply = staticmethod(lambda run, preserve_rng_state, *inputs: run(*inputs))
    try:
        yield
    finally:
        del function.apply


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of a layer's or model's output: itself, or in a tuple, list or mapping."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if hasattr(output, "values") else output if isinstance(output, (tuple, list)) else ()
    return next((t for value in values if (t := first_tensor(value)) is not None), None)


def rows_of(output: Any) -> int | None:
    """Length of the first tensor of an output, None where there is no tensor with rows."""
    tensor = first_tensor(output)
    return None if tensor is None or tensor.ndim == 0 else len(tensor)


def replace_tensor(output: Any, new: Tensor) -> Any:
    """The same structure with its first tensor replaced."""
    old = first_tensor(output)
    return map_tensors(output, lambda t: new if t is old else t)


def map_tensors(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to every tensor of a nested tuple, list or mapping, keeping its types."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple):
        parts = [map_tensors(value, change) for value in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    if isinstance(output, list):
        return [map_tensors(value, change) for value in output]
    if hasattr(output, "items"):
        return type(output)(**{key: map_tensors(value, change) for key, value in output.items()})
    return output
