"""Models that are sure of what they find, without a training."""

import torch


def make_sure(model, std=0.3):
    """Scores and boxes that differ from place to place, in place: those of random heads are all but equal."""
    torch.manual_seed(0)
    if hasattr(model, 'rpn_head'):
        spread = [model.rpn_head.rpn_cls, model.rpn_head.rpn_reg]
        spread += [model.roi_head.bbox_head.fc_cls, model.roi_head.bbox_head.fc_reg]
    elif hasattr(model, 'bbox_head'):
        spread = [model.bbox_head.retina_cls, model.bbox_head.retina_reg]
    else:
        spread = [model.decode_head.conv_seg]
    for layer in spread:
        torch.nn.init.normal_(layer.weight, std=std)
        torch.nn.init.zeros_(layer.bias)
    for part in model.modules():  # statistics of a batch norm that has seen images
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(part.running_mean, std=0.1)
