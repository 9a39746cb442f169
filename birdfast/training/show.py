"""How fastai draws and plays birdfast's types."""

from fastai.vision.data import get_grid
from fastcore.foundation import L
from plum import dispatch

from birdfast.training.draw import play
from birdfast.training.transforms import AudioSpectrogram, AudioTensor, AudioToSpec


def _grid(samples, max_n, nrows, ncols, figsize):
    n = min(len(samples), max_n)
    ncols = ncols or min(n, 3)
    nrows = nrows or -(-n // ncols)
    return get_grid(n, nrows=nrows, ncols=ncols, figsize=figsize or (4.6 * ncols, 2.9 * nrows))


def _label(target):
    return "; ".join(map(str, target)) if isinstance(target, (list, tuple, L)) else str(target)


def _play_batch(x, labels, max_n):
    "Play what lies behind a batch of spectrograms, or a batch of audio"
    audio = x if isinstance(x, AudioTensor) else getattr(x, "waveform", None)
    if audio is not None:
        play([AudioTensor(a, sample_rate=audio.sample_rate) for a in audio[:max_n]], labels)


@dispatch
def show_batch(
    x: AudioSpectrogram | AudioTensor,
    y,
    samples,
    ctxs=None,
    max_n=6,
    nrows=None,
    ncols=None,
    figsize=None,
    hear=True,
    **kwargs,
):
    "Spectrograms with their labels, and players"
    ctxs = ctxs or _grid(samples, max_n, nrows, ncols, figsize)
    labels = [_label(s[1]) if len(s) > 1 else "" for s in samples[:max_n]]
    for sample, ctx, label in zip(samples, ctxs, labels):
        sample[0].show(ctx=ctx, title=label, hear=False)
    _finish(ctxs)
    if hear:
        _play_batch(x, labels, max_n)
    return ctxs


@dispatch
def show_results(
    x: AudioSpectrogram | AudioTensor,
    y,
    samples,
    outs,
    ctxs=None,
    max_n=6,
    nrows=None,
    ncols=None,
    figsize=None,
    hear=True,
    **kwargs,
):
    "Spectrograms with truth and prediction, and players"
    ctxs = ctxs or _grid(samples, max_n, nrows, ncols, figsize)
    pairs = [(_label(s[1]), _label(o[0])) for s, o in zip(samples[:max_n], outs)]
    for sample, ctx, (truth, guess) in zip(samples, ctxs, pairs):
        sample[0].show(ctx=ctx, hear=False)
        ctx.set_title(f"{truth}\n{guess}", color="green" if truth == guess else "firebrick", fontsize=9)
    _finish(ctxs)
    if hear:
        _play_batch(x, [f"{truth} / {guess}" for truth, guess in pairs], max_n)
    return ctxs


def show_clips(rows, recipe, max_n=6, hear=True, ctxs=None, nrows=None, ncols=None, figsize=None):
    "Spectrograms and players of rows of the clips table: of an embedder's head, whose batches hold no sound"
    rows = rows.sample(min(max_n, len(rows)))
    ctxs = ctxs or _grid(rows, max_n, nrows, ncols, figsize)
    to_spec, audios, labels = AudioToSpec.from_cfg(recipe), [], []
    for row, ctx in zip(rows.to_dict("records"), ctxs):
        how = {"start_time": row["start_time"], "duration": recipe.scored, "pad": recipe.pad}
        audio = AudioTensor.create(row["path"], sample_rate=recipe.sample_rate, **how)
        several = row.get("labels")
        labels.append(_label(several if isinstance(several, tuple) else row["primary_label"]))
        to_spec(audio).show(ctx=ctx, title=labels[-1])
        audios.append(audio)
    _finish(ctxs)
    if hear:
        play(audios, labels)
    return ctxs


def _finish(ctxs):
    if len(ctxs):
        ctxs[0].figure.tight_layout()
