"""Recognisers: real speech to words on a CPU, and what a real HTTP server is sent and says."""

import asyncio
import io
import shutil
import subprocess
import wave
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import av
import numpy as np
import pytest

from eva_lightning.agent import AgentConfig, jobs_for, rollout
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.worlds.described import Described
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.transcriber import (
    Recording,
    ServerRecogniser,
    Speech,
    SphinxRecogniser,
    as_wav,
)
from eva_lightning.faults import EngineFault, EngineRefusal
from eva_lightning.records import Clip
from tests.making import task

TONE = Recording(waveform=np.sin(np.arange(16000) / 20).astype(np.float32) * 2, clip="v", start=3.0)


def speech(words):
    """Words as a synthesiser says them in a quiet room, 16,000 values a second, with a pause around."""
    said = subprocess.run(
        ["espeak-ng", "-v", "en-us", "-s", "130", "--stdout", words], capture_output=True, check=True
    ).stdout
    with av.open(io.BytesIO(said)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=16000)
        pieces = [
            piece.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for piece in resampler.resample(frame)
        ]
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    quiet = np.zeros(16000, np.float32)
    said = np.concatenate([quiet, *pieces, quiet])
    hiss = np.random.default_rng(0).standard_normal(len(said))  # no room is without any
    return (said + 0.003 * hiss).astype(np.float32)


def spoken_film(path, waveform):
    """A grey film of that sound."""
    with av.open(str(path), "w") as container:
        video, sound = (
            container.add_stream("libx264", rate=5),
            container.add_stream("aac", rate=16000, layout="mono"),
        )
        video.height = video.width = 64
        video.pix_fmt = "yuv420p"
        for _ in range(int(len(waveform) / 16000 * 5) + 1):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        for begin in range(0, len(waveform), 1024):
            piece = av.AudioFrame.from_ndarray(
                waveform[None, begin : begin + 1024], format="fltp", layout="mono"
            )
            piece.sample_rate, piece.pts = 16000, begin
            container.mux(sound.encode(piece))
        container.mux(video.encode())
        container.mux(sound.encode())
    return str(path)


@pytest.fixture(scope="module")
def ear(tmp_path_factory):
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: pip install pocketsphinx")
    if shutil.which("espeak-ng") is None:
        pytest.skip("nobody here can speak: apt-get install espeak-ng")
    grammar = tmp_path_factory.mktemp("ear") / "kitchen.jsgf"
    grammar.write_text(
        "#JSGF V1.0;\ngrammar kitchen;\npublic <say> = (add | take) (one | two | three | four | five | six | "
        "seven) (eggs | onions | cups) [please];\n"
    )
    return SphinxRecogniser(str(grammar))


SENTENCES = ("add two eggs please", "take seven onions", "add five cups", "take three cups please")


def test_sentences_of_a_grammar_are_understood_at_their_seconds(ear):
    for sentence in SENTENCES:
        (piece,) = asyncio.run(ear.transcribe(Recording(waveform=speech(sentence))))
        assert piece.words == sentence
        assert 0.8 < piece.start < 1.3 and 2 < piece.end < 3.5


def test_silence_says_nothing(ear):
    assert asyncio.run(ear.transcribe(Recording(waveform=np.zeros(32000, np.float32)))) == ()
    assert asyncio.run(ear.transcribe(Recording(waveform=np.zeros(0, np.float32)))) == ()


def test_an_agent_that_listens_answers_a_question_about_what_was_said(ear, tmp_path):
    clip = Clip(id="film", path=spoken_film(tmp_path / "film.mp4", speech("take seven onions")))
    dialect, numbers = ReActDialect(), {"five": "A", "seven": "B"}

    def author(context):
        if len(context.messages) == 2:
            return dialect.call("listen", clip="film")
        heard = context.messages[-1].text.split()
        return dialect.reply(next((numbers[word] for word in heard if word in numbers), "none"))

    world = Described(VideoWorld(), ScriptedEngine(lambda context: ""), ear)
    agent = AgentConfig(dialect=dialect, tools=[Listen()], world=world).agent(ScriptedEngine(author))
    question = task(clips=(clip,), question="How many onions?", options=("five", "seven"), value="B")
    (made,) = asyncio.run(rollout(jobs_for([question]), agent))
    assert (made.stop, made.answer, made.faults) == ("answered", "B", [])


class Ear(BaseHTTPRequestHandler):
    """Hears what it was told to hear, and notes what it was sent."""

    replies = ()
    asked = ()

    def do_POST(self):
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        body = message_from_bytes(head + self.rfile.read(int(self.headers["Content-Length"])))
        parts = {
            part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True)
            for part in body.get_payload()
        }
        self.asked.append((self.path, parts))
        status, reply = self.replies[len(self.asked) - 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


@pytest.fixture
def serving():
    """A server that gives these replies, and what it was asked."""
    servers = []

    def serve(*replies):
        handler = type("Ear", (Ear,), {"replies": replies, "asked": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", handler.asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def heard(url, **settings):
    ear = ServerRecogniser(url, **({"pause": 0.01} | settings))
    try:
        return asyncio.run(ear.transcribe(TONE))
    finally:
        ear.close()


HEARD = (
    b'{"text": "two cups", "segments": [{"start": 0.5, "end": 1, "text": " two cups "}, '
    b'{"start": 1, "end": 1, "text": " "}]}'
)


def test_a_server_is_sent_a_file_and_what_it_hears_has_its_seconds(serving):
    url, asked = serving((503, b"busy"), (200, HEARD))
    assert heard(url, model="ears", language="en") == (Speech(start=0.5, end=1.0, words="two cups"),)
    path, parts = asked[1]
    file = parts.pop("file")
    assert path == "/v1/audio/transcriptions" and parts == {
        "model": b"ears", "response_format": b"verbose_json", "temperature": b"0", "language": b"en"
    }  # fmt: skip
    with wave.open(io.BytesIO(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (16000, 1, 16000)
        samples = np.frombuffer(sound.readframes(16000), "<i2")
    assert samples.max() == 32767 and samples.min() == -32767  # what is too loud is cut, not wrapped
    assert file == as_wav(TONE)


def test_a_server_that_gives_no_seconds_heard_it_somewhere_in_the_recording(serving):
    url, _ = serving((200, b'{"text": "two cups"}'), (200, b'{"text": ""}'))
    assert heard(url) == (Speech(start=0.0, end=1.0, words="two cups"),)
    assert heard(url) == ()


@pytest.mark.parametrize(
    ("status", "reply", "fault"),
    [
        (400, b"no such model", EngineRefusal),
        (200, b'{"words": []}', EngineFault),
        (200, b'{"segments": [{"text": "x"}]}', EngineFault),
        (200, b"[1]", EngineFault),
        (503, b"busy", EngineFault),
    ],
)
def test_a_server_that_does_not_hear_is_a_fault(serving, status, reply, fault):
    url, _ = serving((status, reply), (status, reply))
    with pytest.raises(fault, match=url):
        heard(url, retries=1)
