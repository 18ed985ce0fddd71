"""A model whose network is an exported file; MMDetection's and MMSegmentation's heads read its outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..errors import UserError
from .certificate import Certificate, read_certificate
from .runtimes import Session, named, open_session


class ExportedFile:
    """An exported file with its certificate.

    Attributes:
        session: of its runtime.
        certificate: its.
    """

    def __init__(self, session: Session, certificate: Certificate):
        self.session, self.certificate = session, certificate

    @classmethod
    def read(cls, file: str | Path, device: str = 'cpu') -> 'ExportedFile':
        """
        Raises:
            UserError: no such file, one without a certificate, or one that was changed after it got it.
        """
        session = open_session(file, device=device)
        certificate = read_certificate(file, session.certificate)
        if certificate.precision == 'bfloat16':
            session = open_session(file, 'bfloat16', device)
        return cls(session, certificate)

    def run(self, images: Sequence[Tensor]) -> dict[str, Tensor]:
        """The outputs for images (3, H, W) of one size, BGR as MMCV loads them, whose values are whole.

        Raises:
            UserError: images that the certificate does not cover.
        """
        height, width = images[0].shape[1:]
        if reason := self.certificate.covers(height, width):
            raise UserError(f'{self.session.file.name}: an image is {reason}')
        pixels = np.concatenate([pixels_of(image) for image in images])
        most = self.certificate.batches[1]
        parts = [self.session.run(pixels[start : start + most]) for start in range(0, len(pixels), most)]
        outputs = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return {
            name: torch.from_numpy(output)
            for name, output in named(outputs, self.certificate.outputs).items()
        }


def pixels_of(image: Tensor) -> np.ndarray:
    """What a file takes, (1, H, W, 3), RGB, of an image (3, H, W), BGR, as the pipelines give it."""
    rgb = image[[2, 1, 0]].round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rgb.permute(1, 2, 0).cpu().numpy()[None])


def run_by(model: Any, file: ExportedFile) -> None:
    """Let a file compute what the network of a model would; its heads decode.

    Args:
        model: a detector or a segmentor of the description in the certificate; its own weights are not used.
        file: the exported file.
    """
    kind = file.certificate.kind
    if kind not in ANSWERS:
        raise UserError(
            f'{file.session.file}: gives feature maps, in which nothing is found yet (docs/export.md)'
        )
    if any(isinstance(part, ExportedNetwork) for part in model.children()):
        return

    def test_step(data: dict[str, Any]) -> list[Any]:
        samples = data['data_samples']
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, image in enumerate(data['inputs']):
            groups.setdefault(tuple(image.shape), []).append(number)
        answers: dict[int, Any] = {}
        for numbers in groups.values():
            outputs = file.run([data['inputs'][number] for number in numbers])
            found = ANSWERS[kind](model, outputs, [samples[number] for number in numbers])
            answers.update(zip(numbers, found, strict=True))
        return [answers[number] for number in range(len(samples))]

    model.test_step = model.val_step = test_step
    for name, part in list(model.named_children()):
        if name in ('backbone', 'neck', 'rpn_head'):
            setattr(model, name, ExportedNetwork())
        elif name != 'data_preprocessor':
            part.requires_grad_(False)


class ExportedNetwork(nn.Module):
    """In the place of a network that a file computes: its weights here would be random ones."""

    def forward(self, *inputs: Any) -> Any:
        raise RuntimeError('this model computes by an exported file: test_step, or predict of vitdense.load')


# ---- what the heads make of the outputs -------------------------------------------------------------------


def _raw(model: Any, outputs: dict[str, Tensor], samples: list[Any]) -> list[Any]:
    maps = list(outputs.values())
    half = len(maps) // 2
    metas = [sample.metainfo for sample in samples]
    found = model.bbox_head.predict_by_feat(maps[:half], maps[half:], batch_img_metas=metas, rescale=True)
    return model.add_pred_to_datasample(samples, found)


def _boxes(model: Any, outputs: dict[str, Tensor], samples: list[Any]) -> list[Any]:
    found = found_boxes(outputs)
    masks = outputs.get('masks')
    for number, (sample, one) in enumerate(zip(samples, found, strict=True)):
        if masks is None:
            one.bboxes = one.bboxes / one.bboxes.new_tensor(sample.scale_factor).repeat(2)
            continue
        own = masks[number][: len(one), None].expand(-1, model.roi_head.mask_head.num_classes, -1, -1)
        model.roi_head.mask_head.predict_by_feat(  # which also rescales the boxes
            (own.logit(),), [one], [sample.metainfo], model.roi_head.test_cfg, rescale=True
        )
    return model.add_pred_to_datasample(samples, found)


def found_boxes(outputs: dict[str, Tensor]) -> list[InstanceData]:
    """The objects of each image, in pixels of the image that the file saw."""
    found = []
    for boxes, scores, labels in zip(outputs['boxes'], outputs['scores'], outputs['labels'], strict=True):
        is_box = scores > 0
        found.append(InstanceData(bboxes=boxes[is_box], scores=scores[is_box], labels=labels[is_box]))
    return found


def _logits(model: Any, outputs: dict[str, Tensor], samples: list[Any]) -> list[Any]:
    for sample in samples:
        sample.set_metainfo(dict(padding_size=[0, 0, 0, 0], img_padding_size=[0, 0, 0, 0]))
    return model.postprocess_result(outputs['logits'], samples)


ANSWERS = {'raw': _raw, 'boxes': _boxes, 'masks': _boxes, 'logits': _logits}


def described(file: ExportedFile) -> dict[str, Any]:
    """The certificate's description in the place where a checkpoint has it."""
    certificate = file.certificate
    return dict(
        meta=dict(
            vitdense=certificate.description,
            dataset_meta=dict(classes=certificate.classes, palette=certificate.palette),
        )
    )


def exported_config(file: ExportedFile) -> Config:
    """The config of the model in a file."""
    from ..config.description import check_types, described_config

    cfg = described_config(described(file), file.session.file)
    check_types(cfg)
    return cfg
