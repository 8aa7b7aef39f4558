"""Recognisers: who writes down what is said in a piece of sound.

A recogniser gets the sound and nothing else that could tell it what to hear; the name of its clip is for logs
and for oracles. A dead one raises EngineFault. What it hears is kept by whoever asks.
"""

from __future__ import annotations

import asyncio
import io
import json
import threading
import uuid
import wave
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eva_lightning.engines.http_json import Upload
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import EngineFault, UsageError

RATE = 16000
"""Values of sound a second that the recognisers of this file take."""
PAUSE = 0.6
"""Seconds of silence that part what is said into pieces."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """A piece of the sound of a clip."""

    waveform: NDArray[np.float32]
    """Mono, between -1 and 1."""
    rate: int = RATE
    """Values a second."""
    clip: str = ""
    """Id of the clip that it is from."""
    start: float = 0.0
    """Second of the clip at which it begins."""

    @property
    def end(self) -> float:
        """Second of the clip at which it ends."""
        return self.start + len(self.waveform) / self.rate


@dataclass(frozen=True, kw_only=True)
class Speech:
    """Something that was said."""

    start: float
    """First second, from the begin of the recording."""
    end: float
    """Last second, from the begin of the recording."""
    words: str
    """What was said."""


class Recogniser(ABC):
    """The seam between sound and words."""

    @abstractmethod
    async def transcribe(self, recording: Recording) -> tuple[Speech, ...]:
        """What is said, piece by piece; EngineFault if nobody listens."""

    def model_name(self) -> str | None:
        """Which model hears, for caches of what it heard; None if nothing may be kept."""
        return None

    def close(self) -> None:
        """Give back memory and connections."""


class ServerRecogniser(Recogniser):
    """Any OpenAI-compatible endpoint that speaks /v1/audio/transcriptions."""

    def __init__(
        self,
        url: str,
        model: str = "whisper-1",
        language: str | None = None,
        key_variable: str | None = None,
        concurrency: int = 4,
        timeout: float = 300.0,
        retries: int = 4,
        pause: float = 0.5,
    ) -> None:
        """
        Args:
            url: Base address, for example http://localhost:8000 or http://localhost:8000/v1.
            model: Name of the served model.
            language: Two letters of the language that is spoken; None leaves it to the model.
            key_variable: Name of the environment variable that holds the key; where it may go is as with a
                ServerEngine.
            concurrency: Requests under way at once.
            timeout: Seconds to wait for one reply, from connecting to its last byte.
            retries: Further tries after a connection error or a busy server.
            pause: Seconds before the first retry; doubles with each one.
        """
        self._server = ServerEngine(
            url,
            model,
            key_variable=key_variable,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            pause=pause,
        )
        self.model, self.language = model, language

    async def transcribe(self, recording: Recording) -> tuple[Speech, ...]:
        fields = {"model": self.model, "response_format": "verbose_json", "temperature": "0"}
        fields |= {"language": self.language} if self.language else {}
        body = form(fields, await asyncio.to_thread(as_wav, recording))
        reply = await self._server.post("/audio/transcriptions", body)
        heard = _segments(reply, len(recording.waveform) / recording.rate)
        if heard is None:
            raise EngineFault(f"{self._server.url} sent no transcript: {json.dumps(reply)[:200]}")
        return heard

    def model_name(self) -> str:
        return f"{self.model}/{self.language or 'any'}"

    def close(self) -> None:
        self._server.close()


class WhisperRecogniser(Recogniser):
    """Whisper on this machine, by faster-whisper: `pip install eva-lightning[whisper]`."""

    def __init__(
        self,
        model: str = "large-v3",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        compute_type: str = "default",
        language: str | None = None,
        beams: int = 5,
    ) -> None:
        """
        Args:
            model: Name of a published size, or the folder of one.
            device: Where it runs.
            compute_type: Numbers it counts in, as CTranslate2 names them: float16, int8, ...
            language: Two letters of the language that is spoken; None lets it guess.
            beams: Beams of its search.
        """
        self.model, self.device, self.compute_type = model, device, compute_type
        self.language, self.beams = language, beams
        self._loaded: Any = None
        self._one = threading.Lock()

    async def transcribe(self, recording: Recording) -> tuple[Speech, ...]:
        return await asyncio.to_thread(self._hear, recording)

    def _hear(self, recording: Recording) -> tuple[Speech, ...]:
        with self._one:
            if self._loaded is None:
                self._loaded = self._load()
            pieces, _ = self._loaded.transcribe(
                _at_rate(recording), language=self.language, beam_size=self.beams, temperature=0.0
            )
            return tuple(Speech(start=one.start, end=one.end, words=one.text.strip()) for one in pieces)

    def _load(self) -> Any:
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise UsageError(
                "faster-whisper is not installed: pip install 'eva-lightning[whisper]'"
            ) from None
        return WhisperModel(self.model, device=self.device, compute_type=self.compute_type)

    def model_name(self) -> str:
        return f"{self.model}/{self.compute_type}/{self.language or 'any'}/{self.beams}"


class SphinxRecogniser(Recogniser):
    """US English on any CPU, by pocketsphinx, whose package brings its model.

    `pip install eva-lightning[speech]`. It understands the sentences of a grammar, and guesses at others.
    """

    def __init__(self, grammar: str | None = None) -> None:
        """
        Args:
            grammar: JSGF file of the sentences that may be said, where that is known; None is all of English.
        """
        self.grammar = grammar
        self._loaded: Any = None
        self._one = threading.Lock()

    async def transcribe(self, recording: Recording) -> tuple[Speech, ...]:
        return await asyncio.to_thread(self._hear, recording)

    def _hear(self, recording: Recording) -> tuple[Speech, ...]:
        if not len(recording.waveform):
            return ()
        with self._one:
            if self._loaded is None:
                self._loaded = self._load()
            words = []
            for begin, said in _utterances(_samples(_at_rate(recording)).tobytes()):
                self._loaded.start_utt()
                self._loaded.process_raw(said, full_utt=True)
                self._loaded.end_utt()
                first = round(begin * 100)
                words += [
                    (one.word, first + one.start_frame, first + one.end_frame)
                    for one in self._loaded.seg() or ()
                ]
            return _phrases(words)

    def _load(self) -> Any:
        try:
            from pocketsphinx import Decoder
        except ImportError:
            raise UsageError("pocketsphinx is not installed: pip install 'eva-lightning[speech]'") from None
        more = {"jsgf": self.grammar} if self.grammar else {}
        return Decoder(samprate=RATE, loglevel="FATAL", **more)

    def model_name(self) -> str:
        return f"pocketsphinx/{self.grammar or 'en-us'}"


def _utterances(sound: bytes) -> list[tuple[float, bytes]]:
    """The stretches of a recording in which somebody speaks, each with its first second."""
    from pocketsphinx import Endpointer

    ends = Endpointer(sample_rate=RATE)
    found: list[tuple[float, bytes]] = []
    begin, said = 0.0, b""
    for place in range(0, len(sound), ends.frame_bytes):
        piece, before = sound[place : place + ends.frame_bytes], ends.in_speech
        last = place + ends.frame_bytes >= len(sound)
        speech = ends.end_stream(piece) if last else ends.process(piece)
        if speech is None:
            continue
        if not before:
            begin, said = ends.speech_start, b""
        said += speech
        if not ends.in_speech:
            found.append((begin, said))
    return found


def form(fields: dict[str, str], sound: bytes) -> Upload:
    """A file and what is said of it, as a browser sends them."""
    border = uuid.uuid4().hex
    pieces = [
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    pieces.append(
        f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="sound.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n".encode()
    )
    return Upload(
        kind=f"multipart/form-data; boundary={border}",
        data=b"".join([*pieces, sound, f"\r\n--{border}--\r\n".encode()]),
    )


def as_wav(recording: Recording) -> bytes:
    """A recording as a file of 16-bit sound."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(recording.rate)
        file.writeframes(_samples(recording.waveform).tobytes())
    return held.getvalue()


def _samples(waveform: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.asarray(np.round(np.clip(waveform, -1, 1) * 32767), "<i2")


def _at_rate(recording: Recording) -> NDArray[np.float32]:
    if recording.rate != RATE:
        raise UsageError(f"a recording of {recording.rate} values a second: recognisers take {RATE}")
    return recording.waveform


def _segments(reply: Any, seconds: float) -> tuple[Speech, ...] | None:
    """What a server heard; one that gives no seconds heard it somewhere in the recording."""
    if not isinstance(reply, dict):
        return None
    pieces: Any = reply.get("segments")
    if pieces is None and isinstance(reply.get("text"), str):
        pieces = [{"start": 0.0, "end": seconds, "text": reply["text"]}] if reply["text"].strip() else []
    try:
        heard = [
            Speech(start=float(one["start"]), end=float(one["end"]), words=str(one["text"]).strip())
            for one in pieces
        ]
    except (TypeError, KeyError, ValueError):
        return None
    return tuple(one for one in heard if one.words)


def _phrases(words: Sequence[tuple[str, int, int]]) -> tuple[Speech, ...]:
    """Words with their frames (100 a second) as pieces, parted by pauses; noises and silence say nothing.

    >>> _phrases([("two", 0, 40), ("cups(2)", 41, 90), ("<sil>", 91, 200), ("please", 201, 240)])[1].words
    'please'
    """
    pieces: list[list[Any]] = []
    for word, first, last in words:
        if word.startswith(("<", "[")):
            continue
        start, end, bare = first / 100, (last + 1) / 100, word.partition("(")[0]
        if pieces and start - pieces[-1][1] < PAUSE:
            pieces[-1][1] = end
            pieces[-1][2] += f" {bare}"
        else:
            pieces.append([start, end, bare])
    return tuple(Speech(start=start, end=end, words=said) for start, end, said in pieces)
