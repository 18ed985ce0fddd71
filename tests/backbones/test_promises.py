"""What every backbone promises, a sentence per test, shown on the small networks of `small_backbones`."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from small_backbones import SETTINGS, SMALL, batch_norms, build, images, row_of, shared
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitdense import backbones
from vitdense.compat import has_torch

EVERY = pytest.mark.parametrize('name', SETTINGS)
EVERY_CLASS = pytest.mark.parametrize('name', SMALL)
TWO = pytest.mark.parametrize('name', ['TransCNN', 'SuperViT'])  # for what the base class does; one overrides
NIGHTLY = pytest.mark.nightly
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')


def needs_half(device: str, dtype: torch.dtype) -> None:
    if (device, dtype) == ('cpu', torch.float16) and not has_torch('2.5'):
        pytest.skip('float16 autocast on a CPU: run with torch 2.5 and newer')


DEVICES = pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=NO_GPU)])


def by_day(*names: str) -> pytest.MarkDecorator:
    """Every backbone, but what is not among these names takes long and is left to the night."""
    return pytest.mark.parametrize(
        'name', [name if name in names else pytest.param(name, marks=NIGHTLY) for name in SETTINGS]
    )


def subsets(name: str) -> list[tuple[int, ...]]:
    """Every choice of `out_indices`."""
    indices = range(len(row_of(name).channels))
    return [chosen for count in range(1, len(indices) + 1) for chosen in combinations(indices, count)]


EVERY_SUBSET = pytest.mark.parametrize(
    ('name', 'chosen'), [(name, chosen) for name in SETTINGS for chosen in subsets(name)]
)


def with_batch_norm() -> list[str]:
    return [name for name in SETTINGS if batch_norms(shared(name))]


def loss_of(maps: tuple[Tensor, ...]) -> Tensor:
    """A number that depends on every element of the maps, on each in its own way."""
    weights = [images(*m.shape, seed=2, device=m.device, dtype=m.dtype) for m in maps]
    return sum((m * w).sum() for m, w in zip(maps, weights, strict=True))


def assert_near(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], tolerance: float) -> None:
    """The worst element of each map differs by at most `tolerance` of the map's standard deviation."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.std()


def largest(gradients: dict[str, Tensor]) -> float:
    """The scale to compare by: a bias before a batch norm has a gradient that is zero but for rounding."""
    return max(float(gradient.abs().max()) for gradient in gradients.values())


# ---- sizes -------------------------------------------------------------------------------------------------


@EVERY
@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 2), height=st.integers(1, 150), width=st.integers(1, 150))
@example(batch=1, height=1, width=1)
@example(batch=2, height=127, width=131)  # primes
@example(batch=1, height=16, width=128)  # 1:8
@example(batch=1, height=150, width=1)
@example(batch=1, height=5, width=7)  # below every window
@example(batch=1, height=64, width=96)  # nothing to pad
@torch.no_grad()
def test_an_image_of_any_size_gives_maps_of_its_size_over_the_strides(name, batch, height, width):
    row = row_of(name)
    maps = shared(name)(images(batch, 3, height, width))
    assert [tuple(m.shape) for m in maps] == [
        (batch, channels, -(-height // stride), -(-width // stride))
        for channels, stride in zip(row.channels, row.strides, strict=True)
    ]
    assert all(m.isfinite().all() for m in maps)


@EVERY_SUBSET
def test_channels_and_strides_are_lists_in_the_order_of_out_indices(name, chosen):
    network = build(name, out_indices=chosen)
    assert network.channels == [row_of(name).channels[i] for i in chosen]
    assert network.strides == [row_of(name).strides[i] for i in chosen]


# ---- out_indices -------------------------------------------------------------------------------------------


@EVERY_SUBSET
@torch.no_grad()
def test_a_subset_of_the_maps_is_a_subset_of_the_network(name, chosen):
    """The parameters of a network with fewer `out_indices` are among those of the whole one, and its maps are
    the same.
    """
    whole, part = shared(name), build(name, out_indices=chosen)
    weights = whole.state_dict()
    part.load_state_dict({key: weights[key] for key in part.state_dict()})
    image = images(1, 3, 70, 101)
    expected = whole(image)
    for ours, index in zip(part(image), chosen, strict=True):
        assert torch.equal(ours, expected[index])


@EVERY_SUBSET
def test_every_parameter_that_is_built_gets_a_gradient(name, chosen):
    """Nothing is built that no map needs, and every gradient is finite and not just zeros."""
    network = build(name, out_indices=chosen).double()  # so that no small gradient vanishes
    loss_of(network(images(1, 3, 64, 80, dtype=torch.float64))).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any() or key.startswith(row_of(name).idle), key


@TWO
@pytest.mark.parametrize(
    'wrong',
    [3, None, '12', (1.0,), (True,), (), (9,), (-1,), (0, 9), (1, 0), (2, 1), (0, 0), (1, 1)],
    ids=repr,
)
def test_out_indices_that_are_not_ascending_numbers_of_stages_are_refused(name, wrong):
    with pytest.raises(
        ValueError, match=r'out_indices=.*: expected ascending stages of 0 to \d, for example \(0, 1, 2'
    ):
        build(name, out_indices=wrong)


# ---- arch --------------------------------------------------------------------------------------------------


@EVERY_CLASS
def test_variants_are_known_by_name_in_any_case(name):
    backbone = row_of(name).backbone
    for arch in backbone.archs:
        with torch.device('meta'):  # shapes, no numbers: the variants are large
            lower, upper = (backbone(arch=a, out_indices=(0,)) for a in (arch.lower(), arch.upper()))
        assert lower.arch == upper.arch
        shapes = {key: tensor.shape for key, tensor in lower.state_dict().items()}
        assert {key: tensor.shape for key, tensor in upper.state_dict().items()} == shapes


@TWO
def test_an_unknown_variant_lists_the_known_ones(name):
    backbone = row_of(name).backbone
    with pytest.raises(ValueError, match=f"{backbone.__name__} has no arch 'huge'; known: ") as error:
        backbone(arch='huge')
    assert str(error.value).endswith(', '.join(backbone.archs))


@TWO
def test_a_mapping_gives_every_field_and_no_other(name):
    row = row_of(name)
    for key in row.arch:
        with pytest.raises(ValueError, match=rf"missing \['{key}'\], unknown \[\]"):
            row.backbone(arch={k: v for k, v in row.arch.items() if k != key})
    with pytest.raises(ValueError, match=r"missing \[\], unknown \['colour'\]"):
        row.backbone(arch={**row.arch, 'colour': 'red'})


@EVERY_CLASS
def test_a_mapping_gives_a_value_for_every_stage(name):
    row = row_of(name)
    if 'depths' in row.arch:  # SuperViT has one depth
        depths = list(row.arch['depths'])
        for wrong in (depths[1:], [*depths, 1], 2):
            with pytest.raises(
                ValueError, match=rf'has {len(depths)} stages; expected a value for each, got '
            ):
                row.backbone(arch={**row.arch, 'depths': wrong})
    for key, value in row.arch.items():
        if isinstance(value, (int, float)):
            with pytest.raises(ValueError, match=f'expected one value for {key}, got '):
                row.backbone(arch={**row.arch, key: (value, value)})


@pytest.mark.parametrize(
    ('name', 'fields', 'what'),
    [
        ('TransCNN', dict(head_dim=7), 'head_dim=7 does not divide the channels'),
        ('HATNet', dict(head_dim=7), 'head_dim=7 does not divide the channels'),
        ('VVT', dict(heads=(3, 1, 1, 1)), r'heads=\(3, 1, 1, 1\) does not divide the channels'),
        ('DualTokenViT', dict(heads=(3, 1, 1)), r'heads=\(3, 1, 1\) does not divide the channels'),
        ('DualTokenViT', dict(token_grid=2.5), 'expected rows and columns, or 0'),
        ('SuperViT', dict(heads=3), 'heads=3 does not divide the channels'),
        ('SuperViT', dict(pruned_blocks=(2, 1)), r'pruned_blocks=\[2, 1\]: expected ascending, of 1 to '),
        ('SuperViT', dict(pruned_blocks=(0,)), r'pruned_blocks=\[0\]: expected ascending, of 1 to '),
        ('SuperViT', dict(pruned_blocks=(99,)), r'pruned_blocks=\[99\]: expected ascending, of 1 to '),
        ('SuperViT', dict(pruned_blocks=1), 'pruned_blocks=1: expected a list'),
        ('SuperViT', dict(patch_size=14), 'patch_size=14: expected a multiple of 4'),
    ],
)
def test_fields_that_do_not_go_together_are_refused(name, fields, what):
    row = row_of(name)
    with pytest.raises(ValueError, match=what):
        row.backbone(arch={**row.arch, **fields})


@EVERY_CLASS
@pytest.mark.parametrize('wrong', [-0.5, 1.5, float('nan')])
def test_a_drop_path_rate_is_a_probability(name, wrong):
    with pytest.raises(ValueError, match=r'drop_path_rate=.*: expected a probability, 0 to 1'):
        build(name, drop_path_rate=wrong)


@TWO
def test_what_is_no_tensor_is_said_to_be_none(name):
    with pytest.raises(ValueError, match=r'expected a tensor \(B, 3, H, W\), got '):
        shared(name)([1, 2, 3])


@TWO
@pytest.mark.parametrize('wrong', [None, 3, ('tiny',)])
def test_an_arch_that_is_neither_a_name_nor_a_mapping_is_refused(name, wrong):
    with pytest.raises(ValueError, match='arch is a name or a mapping'):
        row_of(name).backbone(arch=wrong)


def test_every_backbone_has_a_row():
    assert list(SMALL) == [row.backbone.__name__ for row in SMALL.values()]
    assert set(SMALL) == set(backbones.__all__)


@EVERY
@torch.no_grad()
def test_a_config_builds_the_backbone(name):
    row = row_of(name)
    config = ConfigDict(type=row.backbone.__name__, arch=row.arch, **SETTINGS[name])
    network = MODELS.build(config)
    assert type(network) is row.backbone
    network.load_state_dict(shared(name).state_dict())
    image = images(1, 3, 70, 101)
    assert all(map(torch.equal, network.eval()(image), shared(name)(image)))


@EVERY
def test_no_part_initialises_itself_after_the_released_weights_are_in(name):
    """MMEngine applies the `init_cfg` of a module before it calls the `init_weights` of its parts."""
    network = shared(name)
    assert not [part for part in network.modules() if part is not network and hasattr(part, 'init_weights')]


def test_the_backbones_work_without_mmcv_mmdet_mmseg_and_timm():
    code = """
import sys
sys.modules.update(mmcv=None, mmdet=None, mmseg=None, timm=None)  # from here on as if not installed
import torch, vitdense
vitdense.backbones.TransCNN('tiny')(torch.rand(2, 3, 32, 32))
print('works')
"""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert done.stdout == 'works\n', done.stderr


# ---- inputs ------------------------------------------------------------------------------------------------

WRONG_IMAGES = {
    'bytes': (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), 'the image is torch.uint8 and the weights are'),
    'doubles': (torch.zeros(1, 3, 32, 32).double(), 'the image is torch.float64 and the weights are'),
    'halves': (torch.zeros(1, 3, 32, 32).half(), 'the image is torch.float16 and the weights are'),
    'grayscale': (torch.zeros(1, 1, 32, 32), r'got \(1, 1, 32, 32\)'),
    'no batch axis': (torch.zeros(3, 32, 32), r'got \(3, 32, 32\)'),
    'five axes': (torch.zeros(1, 1, 3, 32, 32), r'got \(1, 1, 3, 32, 32\)'),
    'channels behind': (torch.zeros(1, 32, 32, 3), r'got \(1, 32, 32, 3\)'),
    'no images': (torch.zeros(0, 3, 32, 32), 'empty'),
    'no rows': (torch.zeros(1, 3, 0, 32), 'empty'),
}


@TWO
@pytest.mark.parametrize('wrong', WRONG_IMAGES)
def test_what_is_no_image_batch_is_refused_in_a_sentence(name, wrong):
    image, message = WRONG_IMAGES[wrong]
    with pytest.raises(ValueError, match=f'{row_of(name).backbone.__name__}: .*{message}'):
        shared(name)(image)


@TWO
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float64])
def test_what_autocast_does_not_cast_is_refused_under_autocast(name, dtype):
    message = f'the image is {dtype} and the weights are torch.float32'
    with torch.autocast('cpu', torch.bfloat16), pytest.raises(ValueError, match=message):
        shared(name)(torch.zeros(1, 3, 32, 32, dtype=dtype))


# ---- one image, one result ---------------------------------------------------------------------------------


@EVERY
@DEVICES
@torch.no_grad()
def test_an_image_alone_equals_the_image_in_a_batch(name, device):
    network = build(name).double().to(device)
    batch = images(3, 3, 75, 110, device=device, dtype=torch.float64)
    batch[1] *= 100  # whatever its neighbours are
    together = network(batch)
    for i in (0, 2):
        assert_near(tuple(m[i : i + 1] for m in together), network(batch[i : i + 1]), 1e-6)


@EVERY
@torch.no_grad()
def test_two_sizes_in_a_row_leave_no_state_behind(name):
    network, small, large = build(name), images(1, 3, 41, 67), images(2, 3, 96, 64)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    first = network(small)
    assert all(map(torch.equal, network(small), first))
    other = network(large)
    assert all(map(torch.equal, network(small), first))
    assert all(map(torch.equal, build(name)(large), other))
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


# ---- training ----------------------------------------------------------------------------------------------


def step(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state before and after a step of training with weight decay."""
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    # an image with a gradient has one even where every parameter is frozen
    loss_of(network(images(4, 3, 64, 96).requires_grad_())).backward()
    optimizer.step()
    return before, network.state_dict()


@EVERY
def test_train_and_eval_return_self(name):
    network = build(name)
    assert network.train() is network
    assert network.training
    assert network.train(False) is network
    assert not network.training
    network.train()
    assert network.eval() is network
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize(
    ('name', 'frozen'), [(name, i) for name in SETTINGS for i in range(-1, len(row_of(name).channels) + 1)]
)
def test_frozen_stages_keep_their_parameters_and_statistics(name, frozen):
    """-1 freezes nothing, 0 the stem, i > 0 also the first i stages; what is not frozen learns."""
    network = build(name, frozen_stages=frozen).train()
    before, after = step(network)
    frozen_parts = tuple(['stem.', *(f'stages.{i}.' for i in range(frozen))] if frozen >= 0 else [])
    if name.startswith('SuperViT') and frozen == network.stage_count:
        frozen_parts += ('norm.',)  # which ends its last stage
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert not {key for key in moved if key.startswith(frozen_parts)}
    # weight decay moves whatever has a gradient, a step of training every batch norm's statistics
    free = {key for key in before if not key.startswith(frozen_parts)}
    assert moved == {key for key in free if before[key].any() or after[key].any()}
    for key, parameter in network.named_parameters():
        assert parameter.requires_grad != key.startswith(frozen_parts), key


@TWO
@pytest.mark.parametrize('wrong', [-2, 9, None])
def test_frozen_stages_that_are_no_stage_are_refused(name, wrong):
    with pytest.raises(ValueError, match=rf'frozen_stages={wrong}: expected -1 \(none\), 0 \(stem\) to \d'):
        build(name, frozen_stages=wrong)


@pytest.mark.parametrize('name', with_batch_norm())
def test_norm_eval_keeps_the_statistics_and_trains_the_rest(name):
    network = build(name, norm_eval=True).train()
    before, after = step(network)
    statistics = {key for key, _ in network.named_buffers()}
    assert {key for key in before if torch.equal(before[key], after[key])} == statistics
    assert network.eval().train() is network
    assert not any(norm.training for norm in batch_norms(network))


@pytest.mark.parametrize('name', with_batch_norm())
def test_without_norm_eval_the_statistics_move(name):
    network = build(name).train()
    before, after = step(network)
    assert not {key for key, _ in network.named_buffers() if torch.equal(before[key], after[key])}


@contextmanager
def counting_saved(count: list[int]) -> Iterator[None]:
    """Adds up the elements that are remembered for the backward pass, outside checkpoints."""

    def pack(tensor: Tensor) -> Tensor:
        count[0] += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


@EVERY
@DEVICES
@pytest.mark.parametrize('arguments', [{}, dict(norm_eval=True), dict(frozen_stages=1)], ids=str)
def test_activation_checkpointing_changes_nothing_but_the_memory(name, device, arguments):
    """Maps, gradients and batch norm statistics are equal, with stochastic depth on."""
    results = []
    for with_cp in (False, True):
        network = build(name, drop_path_rate=0.5, with_cp=with_cp, **arguments).double().to(device).train()
        image = images(4, 3, 64, 96, device=device, dtype=torch.float64).requires_grad_()
        torch.manual_seed(3)
        random.seed(3)
        saved = [0]
        with counting_saved(saved):
            maps = network(image)
        torch.rand(5, device=device)  # the backward pass must not depend on where the random state is by then
        loss_of(maps).backward()
        gradients = {key: p.grad for key, p in network.named_parameters() if p.grad is not None}
        with torch.no_grad():
            later = network.eval()(image)
        results.append((saved[0], dict(enumerate(maps)), gradients, network.state_dict(), later))

    (saved, *expected), (saved_cp, *ours) = results
    assert saved_cp < saved
    # position tables are resampled in float32, whose gradient CUDA adds up in changing order
    rtol, atol = (1e-9, 1e-12) if device == 'cpu' else (1e-6, 1e-7)
    torch.testing.assert_close(ours, expected, rtol=rtol, atol=atol * largest(expected[1]))


@EVERY
def test_activation_checkpointing_recomputes_only_for_a_gradient(name, monkeypatch):
    calls = []

    def counted(*args, **kwargs):
        calls.append(args)
        return checkpoint(*args, **kwargs)

    monkeypatch.setattr('vitdense.layers.recompute.checkpoint', counted)
    network = build(name, with_cp=True)
    with torch.no_grad():
        network(images(1, 3, 32, 32))
    assert not calls
    network(images(1, 3, 32, 32))
    assert calls


@EVERY
def test_stochastic_depth_is_off_in_evaluation_and_on_in_training(name):
    network, image = build(name, drop_path_rate=0.5, norm_eval=True), images(4, 3, 64, 64)
    assert all(map(torch.equal, network(image), shared(name)(image)))
    network.train()
    assert not torch.equal(network(image)[-1], network(image)[-1])


# ---- number formats ----------------------------------------------------------------------------------------


@EVERY
@DEVICES
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_autocast_is_near_float32(name, device, dtype):
    """The root of the mean square of the difference is within 5 % of a map's standard deviation, and every
    gradient is finite. SuperViT keeps tokens by rank, and where rounding exchanges two, positions differ:
    with its dials turned, half of them are within 2 %, and all together within 15 %.
    """
    needs_half(device, dtype)
    network, image = build(name).to(device), images(2, 3, 75, 110, device=device)
    with torch.no_grad():
        exact = network(image)
    with torch.autocast(device, dtype):
        maps = network(image)
    for ours, theirs in zip(maps, exact, strict=True):
        squares = (ours.float() - theirs).square().mean(1) / theirs.var()  # of each position
        if 'dials' in name:
            assert squares.median() <= 0.02**2
            assert squares.mean() <= 0.15**2
        else:
            assert squares.mean() <= 0.05**2
    loss_of(maps).float().div(sum(m.numel() for m in maps)).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@by_day('HATNet', 'VVT', 'DualTokenViT')
@DEVICES
@pytest.mark.parametrize('dtype', [pytest.param(torch.bfloat16, marks=NIGHTLY), torch.float16], ids=str)
@torch.no_grad()
def test_a_hundred_thousand_tokens_give_no_nan(name, device, dtype):
    """At stride 4, with activations far larger than those of normalised images."""
    needs_half(device, dtype)
    network = build(name).to(device)
    with torch.autocast(device, dtype):
        maps = network(30 * images(1, 3, 1264, 1280, device=device))
    for m in maps:
        assert m.isfinite().all()
        assert m.any()


# ---- every layer is a module that is called ---------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'arguments'), [*((name, {}) for name in SETTINGS), ('DualTokenViT', dict(token_mlp='mlp'))]
)
@torch.no_grad()
def test_a_forward_hook_sees_every_linear_layer_and_every_convolution(name, arguments):
    """Once each; a linear layer with one input whose channels are last, as quantisation and LoRA expect."""
    network, calls = build(name, **arguments), Counter()

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[layer] += 1
        if isinstance(layer, nn.Linear):
            (x,) = inputs
            assert (x.shape[-1], output.shape[-1]) == (layer.in_features, layer.out_features)
            torch.testing.assert_close(output, nn.functional.linear(x, layer.weight, layer.bias))

    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
    for layer in layers:
        layer.register_forward_hook(hook)
    network(images(1, 3, 75, 110))
    assert calls == dict.fromkeys(layers, 1)


# ---- fused for inference -----------------------------------------------------------------------------------


@EVERY
@torch.no_grad()
def test_fused_it_gives_the_same_maps_with_fewer_norms(name):
    plain, fused, image = build(name), build(name), images(2, 3, 75, 110)
    assert fused.fuse() is fused
    assert_near(fused(image), plain(image), 1e-4)
    assert_near(fused.fuse()(image), plain(image), 1e-4)  # a second time changes nothing
    if batch_norms(plain):
        assert len(batch_norms(fused)) < len(batch_norms(plain)) / 2
    with pytest.raises(RuntimeError, match='is fused for inference; build a new one to train it'):
        fused.train()
    assert fused.eval() is fused


# ---- memory formats, compilers -----------------------------------------------------------------------------


@EVERY
@DEVICES
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last], ids=str)
@torch.no_grad()
def test_maps_leave_in_channels_last_memory(name, device, memory_format):
    network = build(name).to(device, memory_format=memory_format)
    image = images(2, 3, 75, 110, device=device)
    maps = network(image.contiguous(memory_format=memory_format))
    for m in maps:
        assert m.is_contiguous(memory_format=torch.channels_last)
    assert_near(maps, build(name).to(device)(image), 1e-4)


def shallow(name: str) -> dict[str, Any]:
    """The variant with one block per stage, which is as much to compile as two."""
    arch = row_of(name).arch
    if 'depths' in arch:
        return {**arch, 'depths': (1,) * len(arch['depths'])}
    return {**arch, 'depth': 3, 'pruned_blocks': (1, 2)}


@pytest.mark.skipif(not has_torch('2.5'), reason='compilation for any size: run with torch 2.5 and newer')
@by_day('PiT')
@pytest.mark.parametrize(
    ('backend', 'device'),
    [
        ('eager', 'cpu'),  # a whole graph is traced, for any size, and run as it is
        pytest.param('inductor', 'cpu', marks=NIGHTLY),
        pytest.param('inductor', 'cuda', marks=[NIGHTLY, NO_GPU]),
    ],
)
@torch.no_grad()
def test_compiled_for_any_size_it_gives_the_same_maps(name, backend, device):
    torch._dynamo.reset()
    network = build(name, arch=shallow(name)).to(device)
    compiled = torch.compile(network, backend=backend, dynamic=True, fullgraph=True)
    for size in ((70, 131), (83, 150)):
        image = images(2, 3, *size, device=device)
        assert_near(compiled(image), network(image), 1e-4)


@pytest.mark.parametrize(
    'name', ['TransCNN', pytest.param('PiT', marks=NIGHTLY)]
)  # has batch norms, has none
def test_compiled_it_trains_the_same_also_with_checkpointing(name):
    results = []
    for compiled, with_cp in ((False, False), (True, False), (True, True)):
        torch._dynamo.reset()
        network = build(name, with_cp=with_cp, out_indices=(0, 1)).train()
        run = torch.compile(network, backend='aot_eager') if compiled else network
        loss_of(run(images(2, 3, 64, 96))).backward()
        gradients = {key: p.grad for key, p in network.named_parameters()}
        results.append((gradients, dict(network.named_buffers())))
    noise = 1e-6 * largest(results[0][0])
    for gradients, buffers in results[1:]:
        torch.testing.assert_close((gradients, buffers), results[0], rtol=1e-3, atol=noise)


@by_day('TransCNN', 'PiT')
@pytest.mark.skipif(not has_torch('2.7'), reason='is_exporting: torch 2.7')
@torch.no_grad()
def test_exported_with_free_batch_height_and_width_it_gives_the_same_maps(name):
    """From an example whose coarsest map has more than one row and column, for images that have too."""
    network = build(name, arch=shallow(name))
    free = {'image': dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)}
    exported = torch.export.export(network, (images(2, 3, 288, 320),), dynamic_shapes=free).module()
    for size in ((288, 320), (129, 257), (256, 256), (200, 333)):
        image = images(1, 3, *size)
        assert_near(exported(image), network(image), 1e-4)
