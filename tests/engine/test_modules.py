"""Models as people have them: half, compiled, parallel, sharded, checkpointed, frozen, quantised; broken libraries."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from tiny import SMALL, Captioner, Deep, Gap, pictures, seeded
from torch import Tensor, nn
from torch.distributed import fsdp
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.checkpoint import CheckpointFunction, checkpoint

import mmcam
from mmcam import ExplainError, attribute

METHODS = ("gradcam", "layercam", "guided_backprop", "guided_gradcam", "integrated_gradients")
ROOT = Path(__file__).parents[2]


def same(model: nn.Module, plain: nn.Module, method: str = "gradcam", **options: object) -> None:
    """Two models give the same maps, which are not empty."""
    x = pictures()
    expected = attribute(plain, x, [0, 1], method=method, **options)
    assert expected.abs().max() > 0
    torch.testing.assert_close(attribute(model, x, [0, 1], method=method, **options), expected)


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_captioner(dtype):
    x = pictures(1, 32)[0]
    expected = mmcam.explain_caption(seeded(Captioner), x)
    found = mmcam.explain_caption(seeded(Captioner).to(dtype), x)
    for exp, other in zip(found, expected, strict=True):
        top = float(other.values.max())
        assert float((exp.values.float() - other.values).abs().max()) <= 0.1 * max(top, 1e-3)
        assert exp.heatmap.dtype == "float32"


def test_autocast_around_the_call():
    x = pictures()
    expected = attribute(seeded(Deep), x, [0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attribute(seeded(Deep), x, [0, 1])
    assert float((found.float() - expected).abs().max()) < 0.05 * float(expected.max())


def test_a_frozen_model_in_inference_mode():
    frozen = seeded(Deep).requires_grad_(False)
    for method in METHODS:
        same(frozen, seeded(Deep), method)
    with torch.inference_mode():
        exp = mmcam.explain_class(frozen, pictures(1)[0], 0)
    torch.testing.assert_close(exp.values, attribute(seeded(Deep), pictures(1), [0])[0, 0])
    assert not any(p.requires_grad for p in frozen.parameters())


@pytest.mark.parametrize("method", ["gradcam", "gradient"])
def test_a_model_built_in_inference_mode_is_one_sentence(method):
    with torch.inference_mode():
        model = seeded(Deep)
    with pytest.raises(ExplainError, match=r"Deep was built inside torch.inference_mode\(\).*load it outside"):
        attribute(model, pictures(), [0], method=method)
    # What records no gradient needs none.
    assert attribute(model, pictures(), [0], method="occlusion", patch=8, stride=8).any()


def test_a_model_without_values_is_one_sentence():
    model = seeded(Deep).to("meta")
    for call in (lambda: attribute(model, pictures(), [0]), lambda: mmcam.explain_class(model, pictures(1)[0])):
        with pytest.raises(ExplainError, match=r"Weights of Deep are on the device 'meta'.*load it whole"):
            call()


# --- wrappers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("what", ["all", "a part", "in place"])
def test_compiled_models(what, backend):
    torch._dynamo.reset()
    model = seeded(Deep)
    called: nn.Module = model
    if what == "all":
        called = torch.compile(model, backend=backend)  # type: ignore[assignment]
    elif what == "a part":
        model.features = torch.compile(model.features, backend=backend)
    else:
        model.compile(backend=backend)
    with torch.no_grad():
        before = called(pictures())
    same(called, seeded(Deep))
    with torch.no_grad():
        torch.testing.assert_close(called(pictures()), before)
    torch._dynamo.reset()


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(nn.DataParallel(m), backend="eager")])
def test_a_wrapped_captioner_keeps_its_protocol(wrap):
    x = pictures(1, 32)[0]
    expected = mmcam.explain_caption(seeded(Captioner), x, "dog")
    found = mmcam.explain_caption(wrap(seeded(Captioner)), x, "dog")
    torch.testing.assert_close(found.values, expected.values)
    assert found.model == "Captioner"


def test_a_part_in_data_parallel():
    model = seeded(Deep)
    model.features = nn.DataParallel(model.features)
    same(model, seeded(Deep))


@pytest.fixture
def one_process():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def whole(model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fsdp.FullyShardedDataParallel(model, device_id=torch.device("cpu"))


def test_fully_sharded_data_parallel(one_process):
    """Its own forward has to run, which gathers the weights; layers are found under the names it gives them."""
    same(whole(seeded(Deep)), seeded(Deep))
    exp = mmcam.explain_class(whole(seeded(Deep)), pictures(1)[0], 0)
    assert exp.layer.endswith("features")
    with pytest.raises(ExplainError, match=r"no layer 'features' .* did you mean _fsdp_wrapped_module\.features"):
        attribute(whole(seeded(Deep)), pictures(), [0], layer="features")
    found = mmcam.explain_caption(whole(seeded(Captioner)), pictures(1, 32)[0])
    assert found.caption == "a dog runs on the grass"


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")
def test_fully_shard(one_process):
    model = seeded(Deep)
    fsdp.fully_shard(model.features, mesh=one_process)
    fsdp.fully_shard(model, mesh=one_process)
    for method in ("gradcam", "guided_gradcam"):
        same(model, seeded(Deep), method)
    # Other methods than forward gather the weights once they are registered, as torch documents.
    captioner = fsdp.fully_shard(seeded(Captioner), mesh=one_process)
    for name in ("token_log_probs", "generate"):
        fsdp.register_fsdp_forward_method(captioner, name)
    x = pictures(1, 32)[0]
    found, expected = mmcam.explain_caption(captioner, x, "dog"), mmcam.explain_caption(seeded(Captioner), x, "dog")
    torch.testing.assert_close(found.values, expected.values)


# --- checkpointing ----------------------------------------------------------------------------------------------------


class Checkpointed(Deep):
    """Recomputes a layer of its encoder, and its head, in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        a = self.features[1](self.features[0](x))
        a = checkpoint(self.features[2], a, use_reentrant=self.reentrant)
        return checkpoint(self.head, a.flatten(1), use_reentrant=self.reentrant)


@pytest.mark.parametrize("layer", ["features.1", "features.2"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_models(reentrant, method, layer):
    options = {} if method in ("guided_backprop", "integrated_gradients") else {"layer": layer}
    same(seeded(Checkpointed, reentrant), seeded(Deep), method, **options)


def test_checkpoints_are_left_as_found():
    """Re-entrant ones stand aside meanwhile, also when something goes wrong, and when one call is inside another."""
    before = dict(vars(CheckpointFunction))

    def nested(output: Tensor) -> Tensor:
        attribute(seeded(Checkpointed, True), pictures(), [0])
        return output[:, 0]

    model = seeded(Checkpointed, True)
    torch.testing.assert_close(attribute(model, pictures(), [nested]), attribute(seeded(Deep), pictures(), [0]))
    with pytest.raises(ExplainError):
        attribute(model, pictures(), [9])
    assert dict(vars(CheckpointFunction)) == before
    model.train()(pictures().requires_grad_()).sum().backward()
    assert all(p.grad is not None for p in model.features[2].parameters())


@pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers 6 calls it activation checkpointing
def test_transformers_gradient_checkpointing():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=4
    )
    for reentrant in (False, True):
        model = seeded(transformers.ViTForImageClassification, config)
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        for mode in (True, False):
            same(model.train(mode), seeded(transformers.ViTForImageClassification, config), "layercam")
            assert model.training is mode
        assert model.is_gradient_checkpointing


# --- quantised --------------------------------------------------------------------------------------------------------


class Rounded(torch.autograd.Function):
    """A product with 8-bit weights that gives its input a gradient, as bitsandbytes' does."""

    @staticmethod
    def forward(ctx, x, weight, scale):
        ctx.save_for_backward(weight, scale)
        return x @ (weight.to(x.dtype) * scale).T

    @staticmethod
    def backward(ctx, gradient):
        weight, scale = ctx.saved_tensors
        return gradient @ (weight.to(gradient.dtype) * scale), None, None


class Linear8bit(nn.Module):
    """A linear layer kept in 8 bits, like bitsandbytes' Linear8bitLt."""

    def __init__(self, linear: nn.Linear, differentiable: bool = True) -> None:
        super().__init__()
        scale = linear.weight.detach().abs().amax() / 127
        self.weight = nn.Parameter((linear.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale)
        self.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)
        self.differentiable = differentiable

    def forward(self, x: Tensor) -> Tensor:
        if self.differentiable:
            return Rounded.apply(x, self.weight, self.scale) + self.bias
        return Rounded.apply(x.detach(), self.weight, self.scale) + self.bias


def test_layers_in_eight_bits():
    model = seeded(Deep)
    model.head[0], model.head[2] = Linear8bit(model.head[0]), Linear8bit(model.head[2])
    x = pictures()
    expected = attribute(seeded(Deep), x, [0, 1])
    found = attribute(model, x, [0, 1])
    assert float((found - expected).abs().max()) < 0.1 * float(expected.max())
    # The pictures take the type of the weights that are floats, wherever the first of them is.
    only = seeded(Gap)
    only.fc = Linear8bit(only.fc)
    assert mmcam.explain_class(nn.Sequential(Linear8bitFirst(), only.half()), x[0], 0, preprocess=SMALL).score


class Linear8bitFirst(nn.Module):
    """Has an 8-bit parameter before any other."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.int8), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_kernels_without_a_gradient():
    model = seeded(Deep)
    model.head[0] = Linear8bit(model.head[0], differentiable=False)
    with pytest.raises(ExplainError, match="does not depend"):
        attribute(model, pictures(), [0])


def test_dynamic_quantisation_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantise = pytest.importorskip("torch.ao.quantization").quantize_dynamic
        model = quantise(seeded(Deep), {nn.Linear}, dtype=torch.qint8)
    for call in (lambda: attribute(model, pictures(), [0]), lambda: mmcam.explain_class(model, pictures(1)[0])):
        with pytest.raises(ExplainError, match="Quantised layers have no gradients; pass the float model"):
            call()


# --- broken imports ---------------------------------------------------------------------------------------------------

CLASSIFIER = """
import torch, mmcam
from torch import nn
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
exp = mmcam.explain_class(net, torch.rand(3, 16, 16), 1)
assert exp.heatmap.shape == (16, 16)
"""


def python(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """A Python of its own, with folders before all others on its path."""
    path = os.pathsep.join(map(str, (*paths, ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_what_is_broken_is_not_missed_where_it_is_not_needed(tmp_path):
    """E.g. a torchvision built for another torch, whose import fails; here all that is heavy at once."""
    for name in ("torchvision", "transformers", "matplotlib"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f'raise RuntimeError("{name} is broken")\n')
    done = python(CLASSIFIER, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("model", "says"), [("torchvision:resnet18", 1), ("vignette-captioner", 0)])
def test_a_broken_torchvision_is_named_where_it_is_needed(model, says, tmp_path):
    (tmp_path / "torchvision").mkdir()
    broken = 'raise RuntimeError("operator torchvision::nms does not exist")\n'
    (tmp_path / "torchvision" / "__init__.py").write_text(broken)
    code = f"""
from mmcam import ExplainError
from mmcam.models.specification import load_model
try:
    load_model({model!r})
except ExplainError as error:
    print(error)
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr[-300:]
    said = done.stdout.strip().splitlines()
    assert len(said) == says
    assert all("torchvision" in line and "nms does not exist" in line for line in said)
