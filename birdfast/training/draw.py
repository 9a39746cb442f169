"""One waveform or spectrogram drawn, and players of sound in a notebook."""

import sys

import torch

from birdfast.plots.sound import plot_spectrogram


def show_waveform(audio, ctx=None, title=None):
    "Draw a waveform over seconds"
    import matplotlib.pyplot as plt

    ax = ctx if ctx is not None else plt.subplots(figsize=(6, 2))[1]
    samples = audio.as_subclass(torch.Tensor).detach().cpu().float().reshape(-1).numpy()
    ax.plot([i / audio.sample_rate for i in range(len(samples))], samples, linewidth=0.4)
    ax.set(xlabel="time (s)", ylabel="amplitude", title=title or "")
    return ax


def show_spectrogram(spectrogram, ctx=None, title=None):
    "Draw a spectrogram with the axes of the LogMel that made it"
    logmel = spectrogram.logmel
    image = spectrogram.as_subclass(torch.Tensor).detach().cpu().float()
    return plot_spectrogram(
        image.reshape(-1, image.shape[-1])[: logmel.n_mels].numpy(),
        sample_rate=logmel.sample_rate, hop_length=logmel.hop_length,
        fmin=logmel.fmin, fmax=logmel.fmax, mel_scale=logmel.mel_scale, ax=ctx, title=title or "",
    )  # fmt: skip


def play(audios, titles=None):
    "Players in a row, in a notebook; nothing elsewhere"
    if "ipykernel" not in sys.modules:
        return
    from IPython.display import HTML, display

    cells = []
    for i, audio in enumerate(audios):
        title = f"<br>{titles[i]}" if titles else ""
        cells.append(f"<span style='display:inline-block;margin:4px'>{audio.hear()._repr_html_()}{title}</span>")
    display(HTML("".join(cells)))
