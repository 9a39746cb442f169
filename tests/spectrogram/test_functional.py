import torch

from birdfast.spectrogram.functional import mask_along, mix, union


def test_time_mask_covers_just_the_stripe():
    x = torch.randn(2, 1, 8, 20)
    out = mask_along(x, torch.tensor([[3], [0]]), torch.tensor([[4], [0]]), dim=-1)
    assert (out[0, 0, :, 3:7] == x[0].mean()).all()
    assert torch.equal(out[0, 0, :, :3], x[0, 0, :, :3])
    assert torch.equal(out[0, 0, :, 7:], x[0, 0, :, 7:])
    assert torch.equal(out[1], x[1])


def test_frequency_masks_of_one_item_add_up():
    x = torch.randn(1, 1, 8, 20)
    out = mask_along(x, torch.tensor([[0, 5]]), torch.tensor([[2, 1]]), dim=-2)
    masked = (out[0, 0] != x[0, 0]).all(1)
    assert masked.tolist() == [True, True, False, False, False, True, False, False]


def test_mix_weighs_each_item_by_its_own_lam():
    a, b = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    assert mix(a, b, torch.tensor([0.25, 0.75]))[:, 0, 0, 0].tolist() == [0.25, 0.75]


def test_union_keeps_what_is_unknown_unless_surely_present():
    nan = torch.nan
    out = union(torch.tensor([0.0, 1.0, nan, nan, 0.3]), torch.tensor([0.0, nan, 0.0, 1.0, 0.5]))
    assert out[[0, 1, 3]].tolist() == [0, 1, 1]
    assert out[2].isnan()
    assert out[4] == 0.5
