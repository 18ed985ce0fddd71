"""The dials' settings on the command line."""

from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitdense.dials import DialSetting, sweep
from vitdense.errors import UserError


@pytest.mark.parametrize(
    ('text', 'setting'),
    [('1:1', (1, 1)), ('1:0.7', (1, 0.7)), ('4/7:.5', (4 / 7, 0.5)), ('0.25:1/2', (0.25, 0.5))],
)
def test_a_setting_is_a_scale_and_a_keep_rate_in_decimals_or_fractions(text, setting):
    assert DialSetting.parse(text) == setting


@given(
    st.text(max_size=8)
    | st.sampled_from(['1', '1:', '0:1', '1:0', '1:1.1', '1:1:1', '1:-1', '1/0:1', 'nan:1'])
)
def test_every_text_is_a_setting_above_0_and_at_most_1_or_an_error(text):
    with suppress(UserError):
        assert all(0 < dial <= 1 for dial in DialSetting.parse(text))


@pytest.mark.parametrize('text', ['1', '1:', '0:1', '1:0', '1:1.1', '1:1:1', '1:-1', '1/0:1', 'nan:1', 'a:b'])
def test_a_text_that_is_no_setting_is_refused(text):
    with pytest.raises(UserError, match=f'--dials {text}: .*SCALE:KEEP_RATE'):
        DialSetting.parse(text)


def test_a_backbone_without_dials_is_an_error(make_runner):
    with pytest.raises(UserError, match=r'--dials: Linear .*SuperViT'):
        sweep(make_runner(), [DialSetting(1, 1)])
    assert torch.is_grad_enabled()
