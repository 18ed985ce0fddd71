"""A training that starts from other weights: what fits is loaded, and rows of equal classes are kept."""

import re

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from small import ARCH, CONFIGS, Hostile, workplace
from torch import nn

from vitdense.class_rows import ClassRows, class_rows
from vitdense.data import sample
from vitdense.preflight.origin import _start
from vitdense.weights import classes_in, fit

OURS, THEIRS = ['cat', 'dog', 'cow'], ['cow', 'owl', 'fox', 'cat']


def numbered(entries, each, outer):
    """Rows of two numbers: the entry's name as a number, and which of its rows it is."""
    values = [[[entry, row] for row in range(each)] for entry in entries]
    tensor = torch.tensor(values, dtype=torch.float32)  # (entries, each, 2)
    return (tensor if outer else tensor.transpose(0, 1)).reshape(-1, 2)


@pytest.mark.parametrize(
    'outer', [True, False], ids=['rows of a class together', 'rows of an anchor together']
)
@pytest.mark.parametrize('each', [1, 3, 4])
@pytest.mark.parametrize('others', [0, 1, 5])
def test_rows_of_equal_classes_are_kept_and_the_others_stay(each, others, outer):
    """Against the same rows, written out: a background is last, YOLO's box and objectness are first."""
    code = {name: number for number, name in enumerate(dict.fromkeys(OURS + THEIRS))}
    beside = [100 + i for i in range(others)]

    def entries(names, sign):
        rows = [sign * (1 + code[name]) for name in names]
        extra = [sign * number for number in beside]
        return extra + rows if others > 1 else rows + extra

    own, theirs = (numbered(entries(names, s), each, outer) for names, s in ((OURS, -1), (THEIRS, 1)))
    rows = {'cls': ClassRows(each, others, outer)}
    fitted, start = fit({'cls': own}, {'cls': theirs}, rows, OURS, THEIRS, 'file.pth')
    kept = [(1 if name in THEIRS else -1) * (1 + code[name]) for name in OURS]
    expected = numbered(beside + kept if others > 1 else kept + beside, each, outer)
    got = fitted['cls'] * torch.tensor([1.0, 1.0])
    assert torch.equal(got[:, 0], expected[:, 0])
    assert start.classes == ['cat', 'cow']
    assert start.shares == {'cls': pytest.approx((2 + others) / (3 + others))}


def test_classes_in_another_order_change_places_though_the_shapes_are_equal():
    own, theirs = torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])
    rows = {'b': ClassRows(1, 0, False)}
    fitted, _ = fit({'b': own}, {'b': theirs}, rows, ['a', 'b', 'c'], ['c', 'a', 'b'], '')
    assert fitted['b'].tolist() == [2.0, 3.0, 1.0]
    fitted, start = fit({'b': own}, {'b': theirs}, rows, ['a', 'b', 'c'], None, '')
    assert (fitted['b'].tolist(), start.classes) == ([1.0, 2.0, 3.0], None)


def test_what_does_not_fit_is_named_and_nothing_that_fits_is_an_error():
    own = {'a': torch.zeros(2), 'b': torch.zeros(3), 'c': torch.zeros(1), 'n': torch.tensor(0)}
    theirs = {'a': torch.ones(2), 'b': torch.ones(4), 'd': torch.ones(1), 'n': torch.tensor(3)}
    fitted, start = fit(own, theirs, {}, [], None, '')
    assert sorted(fitted) == ['a', 'n']
    assert (start.missing, start.misshapen, start.left_over) == (['c'], ['b'], ['d'])
    with pytest.raises(ValueError, match=r'file\.pth: no weight fits'):  # a counter alone is no weight
        fit(own, {'n': torch.tensor(3)}, {}, [], None, 'file.pth')


def test_the_names_of_classes_are_found_where_each_version_writes_them():
    for meta in (
        dict(dataset_meta=dict(classes=('a', 'b'))),
        dict(dataset_meta=dict(CLASSES=('a', 'b'))),
        dict(CLASSES=['a', 'b']),
    ):
        assert classes_in(dict(meta=meta)) == ['a', 'b']
    assert classes_in(dict(state_dict={})) is None


@pytest.mark.parametrize(
    ('name', 'classes', 'expected'),
    [
        (
            'retinanet_transcnn',
            80,
            {'bbox_head.retina_cls': (9, 0, False)},
        ),
        (
            'mask_rcnn_vvt',
            80,
            {
                'roi_head.bbox_head.fc_cls': (1, 1, False),
                'roi_head.bbox_head.fc_reg': (4, 0, True),
                'roi_head.mask_head.conv_logits': (1, 0, False),
            },
        ),
        (
            'pspnet_pit',
            150,
            {'decode_head.conv_seg': (1, 0, False), 'auxiliary_head.conv_seg': (1, 0, False)},
        ),
        (
            'deeplabv3_supervit',
            150,
            {'decode_head.conv_seg': (1, 0, False), 'auxiliary_head.conv_seg': (1, 0, False)},
        ),
        (
            'semantic_fpn_pit',
            150,
            {'decode_head.conv_seg': (1, 0, False)},
        ),
        (
            'upernet_dualtoken_vit',
            150,
            {'decode_head.conv_seg': (1, 0, False), 'auxiliary_head.conv_seg': (1, 0, False)},
        ),
    ],
)
def test_the_rows_of_classes_are_found_in_every_head(name, classes, expected):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    state = torch.get_rng_state()
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        rows = class_rows(MODELS.build, cfg.model, classes)
    assert torch.equal(torch.get_rng_state(), state)
    assert rows == {
        f'{layer}.{kind}': ClassRows(*row) for layer, row in expected.items() for kind in ('weight', 'bias')
    }


HEADS = {  # of MMSegmentation and MMDetection, with classes elsewhere than in the last layer's rows
    'Segmenter': (
        'mmseg',
        dict(
            type='SegmenterMaskTransformerHead',
            in_channels=8,
            channels=8,
            num_classes=6,
            num_layers=1,
            num_heads=1,
            embed_dims=8,
        ),
        {'cls_emb': (1, 0, False, 1), 'mask_norm.weight': (1, 0, False), 'mask_norm.bias': (1, 0, False)},
    ),
    'PointRend': (
        'mmseg',
        dict(
            type='PointHead',
            in_channels=[8],
            in_index=[0],
            channels=8,
            num_classes=6,
            num_fcs=1,
            coarse_pred_each_layer=True,
        ),
        {
            'fcs.0.conv.weight': None,
            'fc_seg.weight': None,
            'fc_seg.bias': (1, 0, False),
        },
    ),
    'MaskFormer': (
        'mmdet',
        dict(
            type='MaskFormerHead',
            in_channels=[8, 8],
            feat_channels=32,
            out_channels=8,
            num_queries=2,
            num_things_classes=4,
            num_stuff_classes=2,
            pixel_decoder=dict(type='PixelDecoder'),
            transformer_decoder=dict(
                num_layers=1,
                layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=32, num_heads=1),
                    cross_attn_cfg=dict(embed_dims=32, num_heads=1),
                    ffn_cfg=dict(embed_dims=32),
                ),
            ),
            positional_encoding=dict(num_feats=16),
            loss_cls=dict(type='CrossEntropyLoss', class_weight=[1.0] * 7),
        ),
        {'cls_embed.weight': (1, 1, False), 'cls_embed.bias': (1, 1, False)},
    ),
}


@pytest.mark.parametrize('name', HEADS)
def test_rows_and_columns_of_classes_are_found_or_named_as_unknown(name):
    scope, config, expected = HEADS[name]
    with DefaultScope.overwrite_default_scope(scope):
        rows = class_rows(MODELS.build, ConfigDict(config), 6)
    assert rows == {key: row and ClassRows(*row) for key, row in expected.items()}


def test_where_nothing_says_how_many_classes_there_are_only_what_has_none_is_taken():
    """In the order of the classes it would be loaded without a word, in another order than theirs."""
    model = nn.ModuleDict(dict(backbone=nn.Linear(1, 2), head=nn.Linear(2, 3)))
    rows = class_rows(lambda config: model, dict(classes=3), 3)
    assert rows == {'head.weight': None, 'head.bias': None}
    theirs = {key: value + 1 for key, value in model.state_dict().items()}
    _, start = fit(model.state_dict(), theirs, rows, ['a', 'b', 'c'], ['c', 'a', 'b'], '')
    assert (sorted(start.shares), start.unplaced) == (
        ['backbone.bias', 'backbone.weight'],
        ['head.bias', 'head.weight'],
    )
    _, start = fit(model.state_dict(), theirs, rows, ['a', 'b', 'c'], ['a', 'b', 'c'], '')
    assert (len(start.shares), start.unplaced) == (4, [])


def test_classes_along_another_axis_change_places_too():
    own, theirs = torch.zeros(1, 3, 2), torch.tensor([[[1.0, 1], [2, 2], [3, 3], [4, 4]]])
    rows = {'cls_emb': ClassRows(1, 0, False, 1)}
    fitted, start = fit({'cls_emb': own}, {'cls_emb': theirs}, rows, OURS, THEIRS, '')
    assert fitted['cls_emb'].tolist() == [[[4, 4], [0, 0], [1, 1]]]
    assert start.shares['cls_emb'] == pytest.approx(2 / 3)


def test_a_model_whose_constructor_reads_a_tensor_has_its_rows_found_too():
    class Reads(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.rate = torch.linspace(0, 1, 3)[1].item()  # not on the meta device
            self.cls = nn.Linear(2, num_classes)

    rows = class_rows(lambda config: Reads(**config), dict(num_classes=4), 4)
    assert rows == dict.fromkeys(['cls.weight', 'cls.bias'], ClassRows(1, 0, False))


SMALL = """
classes = {classes}
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.dataset.metainfo = dict(classes=classes, palette=[(0, 0, 0)] * len(classes))
    loader.dataset.data_root = {root!r}
for evaluator in (val_evaluator, test_evaluator):
    evaluator.ann_file = {root!r} + '/annotations/instances_val2017.json'
for loader in (val_dataloader, test_dataloader):
    loader.dataset.pop('indices')
    loader.dataset.pipeline[1].scale = (128, 128)
train_dataloader.dataset.pipeline[2].scale = (128, 128)
train_dataloader.batch_size = 4
model.bbox_head.num_classes = len(classes)
"""


@pytest.fixture
def init(call_tool, tmp_path, monkeypatch, no_pictures):
    """`train --init FILE --preflight` on the small config with these classes, and lines added."""
    workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = (tmp_path / 'tiny.py').read_text()

    def init(classes, *words, added=''):
        root = str(sample.root() / 'coco')
        (tmp_path / 'tiny.py').write_text(text + SMALL.format(classes=classes, root=root) + added)
        return call_tool('train', 'tiny.py', '--preflight', *words)

    return init


def model_of(classes):
    from vitdense.backbones import TransCNN  # noqa: F401  # registers it

    cfg = Config.fromfile(CONFIGS / 'retinanet_transcnn.py')
    model = cfg.model
    model.backbone.update(arch=ARCH)
    model.neck.update(in_channels=ARCH['dims'], out_channels=16)
    model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=classes)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(model)


def checkpoint(path, classes, **changes):
    state = {
        name: torch.randn_like(t) if t.is_floating_point() else t
        for name, t in model_of(len(classes)).state_dict().items()
    }
    meta = dict(dataset_meta=dict(classes=tuple(classes)), epoch=3, iter=7)
    torch.save(dict(meta=meta, state_dict=state) | changes, path)
    return state


@pytest.fixture
def started(monkeypatch):
    """The weights of each run after its preflight check."""
    from vitdense.preflight import flight

    seen = []

    def last(runner):
        seen.append({name: tensor.clone() for name, tensor in runner.model.state_dict().items()})
        return iter(())

    monkeypatch.setattr(flight, 'CHECKS', [*flight.CHECKS, last])
    return seen


def test_a_training_starts_from_a_checkpoint_of_other_classes(init, started, tmp_path):
    """By `--init`, `load_from` and `Pretrained`: bit for bit, and the rows of classes by their names."""
    ours = list(sample.CLASSES)
    theirs = ['person', *reversed(ours[:3])]
    state = checkpoint(tmp_path / 'other.pth', theirs)
    ways = (
        (['--init', 'other.pth'], ''),
        ([], "load_from = 'other.pth'\n"),
        ([], "model.init_cfg = dict(type='Pretrained', checkpoint='other.pth')\n"),
    )
    for words, added in ways:
        code, out, err = init(ours, *words, added=added)
        assert (code, err) == (0, '')
        assert re.search(r'loaded  backbone 100%, neck 100%, bbox_head \d\d%\n', out)
        assert re.search(rf'loaded  classes kept: {", ".join(ours[:3])}; new: {", ".join(ours[3:])}\n', out)
        weights = started.pop()
        cls = ('bbox_head.retina_cls.weight', 'bbox_head.retina_cls.bias')
        assert all(torch.equal(weights[name], state[name]) for name in weights if name not in cls)
        for name in cls:
            new = weights[name].unflatten(0, (9, 5))
            old = state[name].unflatten(0, (9, 4))
            for label, theirs_label in ((0, 3), (1, 2), (2, 1)):
                assert torch.equal(new[:, label], old[:, theirs_label])
            assert not torch.isin(new[:, 3:], old).any() or name.endswith('bias')


def test_the_average_of_a_training_starts_from_the_same_weights(init, started, tmp_path, monkeypatch):
    from mmengine.hooks import EMAHook

    averages = []
    monkeypatch.setattr(
        EMAHook, 'before_train', lambda self, runner: averages.append(self.ema_model.module.state_dict())
    )
    checkpoint(tmp_path / 'other.pth', ['person', *sample.CLASSES[:2]])
    code, _, err = init(
        list(sample.CLASSES), '--init', 'other.pth', added="custom_hooks = [dict(type='EMAHook')]\n"
    )
    assert (code, err) == (0, '')
    assert all(torch.equal(tensor, started[0][name]) for name, tensor in averages[0].items())


@pytest.mark.parametrize('option', ['--init', 'load_from'])
def test_a_file_of_which_nothing_fits_or_that_would_execute_stops_the_run(init, tmp_path, option):
    words, added = (['--init', 'x.pth'], '') if option == '--init' else ([], "load_from = 'x.pth'\n")
    torch.save({'encoder.weight': torch.zeros(3)}, tmp_path / 'x.pth')
    code, _, err = init(list(sample.CLASSES), *words, added=added)
    assert (code, 'x.pth: no weight fits' in err, err.count('\n')) == (2, True, 1)
    torch.save(dict(state_dict={}, by=Hostile(tmp_path / 'marker')), tmp_path / 'x.pth')
    code, _, err = init(list(sample.CLASSES), *words, added=added)
    assert (code, 'refused to load' in err) == (2, True)
    assert not (tmp_path / 'marker').exists()


def test_a_checkpoint_without_names_is_loaded_in_order_and_says_so(init, started, tmp_path):
    state = checkpoint(tmp_path / 'other.pth', list('abcde'), meta={})
    code, out, _ = init(list(sample.CLASSES), '--init', 'other.pth')
    assert code == 0
    assert 'warning: other.pth names no classes' in out
    assert all(torch.equal(tensor, state[name]) for name, tensor in started[0].items())


def test_init_and_resume_exclude_each_other(init, tmp_path):
    code, _, err = init(list(sample.CLASSES), '--init', 'a.pth', '--resume')
    assert (code, '--init' in err, '--resume' in err) == (2, True, True)


def test_a_training_checkpoint_as_released_weights_is_told_where_it_belongs(init, tmp_path):
    checkpoint(tmp_path / 'other.pth', list(sample.CLASSES))
    code, _, err = init(list(sample.CLASSES), '--weights', 'other.pth')
    assert (code, '--init' in err) == (2, True)


def test_no_class_is_kept_where_no_row_fits():
    own = dict(neck=torch.zeros(2), cls=torch.zeros(6))
    theirs = dict(neck=torch.ones(2), cls=torch.ones(9))
    fitted, start = fit(own, theirs, dict(cls=ClassRows(2, 0, False)), OURS, OURS[::-1], '')
    assert (sorted(fitted), start.classes, start.misshapen) == (['neck'], [], ['cls'])
    assert start.lost == OURS


ONE_EACH = ClassRows(1, 0, False)
FCN = dict(type='FCNHead', in_channels=4, channels=4, num_convs=1, concat_input=False)


def segmentor(classes, outputs=None):
    """The config of a decode head, and the head; its outputs are as many as its classes unless given."""
    config = ConfigDict(decode_head=dict(FCN, num_classes=classes, out_channels=outputs))
    return config, nn.ModuleDict(dict(decode_head=built(config)))


def built(config):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(config.decode_head)


@pytest.mark.parametrize(
    ('classes', 'outputs', 'layout'),
    [(4, 4, ONE_EACH), (2, 2, ONE_EACH), (2, None, ONE_EACH), (2, 1, None)],
)
def test_the_rows_of_a_head_that_names_its_outputs_are_found(classes, outputs, layout):
    config, _ = segmentor(classes, outputs)
    assert class_rows(built, config, classes) == {'conv_seg.weight': layout, 'conv_seg.bias': layout}


@pytest.mark.parametrize(
    ('own', 'theirs', 'outputs', 'share', 'said'),
    [
        ('bg fg', 'bg fg', 1, 1.0, ['classes kept: bg, fg']),
        (
            'bg fg',
            'fg bg',
            1,
            None,
            ['classes not kept, though a.pth has them: bg, fg', 'left as built: decode_head.conv_seg'],
        ),
        (
            'bg fg',
            'bg fg x',
            1,
            None,
            ['classes not kept, though a.pth has them: bg, fg', 'left as built: decode_head.conv_seg'],
        ),
        (
            'bg fg',
            'a b',
            1,
            None,
            ['no class of a.pth is one of the data: all are new', 'left as built: decode_head.conv_seg'],
        ),
        ('a b c', 'c b a', 3, 1.0, ['classes kept: a, b, c']),
        ('a b c', 'b d', 3, 1 / 3, ['classes kept: b; new: a, c']),
        ('a b c', 'd e', 3, None, ['no class of a.pth is one of the data: all are new']),
    ],
)
def test_what_became_of_the_classes_is_said(own, theirs, outputs, share, said):
    """Of a head with an output for each class, and of one with a single output for two classes."""
    own, theirs = own.split(), theirs.split()
    config, model = segmentor(len(own), outputs)
    _, other = segmentor(len(theirs), outputs if len(own) == len(theirs) else None)
    rows = {f'decode_head.{name}': row for name, row in class_rows(built, config, len(own)).items()}
    before = model.state_dict()
    fitted, start = fit(before, other.state_dict(), rows, own, theirs, 'a.pth')
    assert start.shares.get('decode_head.conv_seg.weight') == (share and pytest.approx(share))
    findings = [finding.text for finding in _start(start, own)]
    assert len(findings) == len(said)
    assert all(text in finding for text, finding in zip(said, findings, strict=True))
    if share:
        for name in set(own) & set(theirs):
            at, was = own.index(name), theirs.index(name)
            if outputs > 1:
                kept = fitted['decode_head.conv_seg.weight'][at]
                assert torch.equal(kept, other['decode_head'].conv_seg.weight[was])


def test_a_head_that_says_nothing_of_its_classes_keeps_only_those_in_the_same_order():
    model = nn.ModuleDict(dict(backbone=nn.Linear(1, 2), decode_head=nn.Linear(2, 3)))
    state = model.state_dict()
    rows = class_rows(lambda config: model, {}, 3)
    for theirs, said in (
        (['a', 'b', 'c'], r'classes kept: a, b, c'),
        (['c', 'a', 'b'], r'2 tensors .* not known, left as built: decode_head\.bias, decode_head\.weight'),
    ):
        _, start = fit(state, state, rows, ['a', 'b', 'c'], theirs, 'a.pth')
        (finding,) = _start(start, ['a', 'b', 'c'])
        assert re.fullmatch(said, finding.text)
