"""Tones: written for phones to send, and judged in what they heard (frequency, length, gaps; not level)."""

import wave

import numpy

RATE = 8000


def write_tone(path, hz, seconds):
    """A mono 16-bit WAV of a sine at half scale; 0 Hz is silence."""
    t = numpy.arange(RATE * seconds) / RATE
    samples = (numpy.sin(2 * numpy.pi * hz * t) * 16000).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())


def read(path):
    """(samples as floats, sample rate), also of a file whose header was never finished."""
    data = open(path, "rb").read()
    at = data.index(b"data") + 8
    fmt = data.index(b"fmt ") + 8
    rate = int.from_bytes(data[fmt + 4:fmt + 8], "little")
    body = data[at:]
    return numpy.frombuffer(body[:len(body) // 2 * 2], "<i2").astype(float), rate


def windows(samples, rate, hz, length=0.02):
    """For each window of `length` seconds: does the tone `hz` carry most of its energy?"""
    size = int(rate * length)
    count = len(samples) // size
    blocks = samples[:count * size].reshape(count, size)
    t = numpy.arange(size) / rate
    taper = numpy.hanning(size)
    shaped = blocks * taper
    carrier = numpy.exp(-2j * numpy.pi * hz * t)
    # The share of a window's energy that the tone has: 1 for a pure tone, about 0 for any other.
    pure = (shaped ** 2).sum(axis=1) * taper.sum() ** 2 / (2 * (taper ** 2).sum())
    share = numpy.abs(shaped @ carrier) ** 2 / numpy.maximum(pure, 1)
    loud = numpy.sqrt((blocks ** 2).mean(axis=1)) > 500
    return loud & (share > 0.5)


def longest_run(present, allowed_gap, length=0.02):
    """Seconds of the longest stretch whose gaps are all at most `allowed_gap` seconds."""
    best = start = last = None
    for i, here in enumerate(present):
        if not here:
            continue
        if last is None or (i - last - 1) * length > allowed_gap + 1e-9:
            start = i
        last = i
        best = max(best or 0, i - start + 1)
    return (best or 0) * length


def tone_run(samples, rate, hz, allowed_gap=0.06):
    """Seconds for which the tone was there without a gap over `allowed_gap` seconds."""
    return longest_run(windows(samples, rate, hz), allowed_gap)
