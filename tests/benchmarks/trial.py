"""Trial in real time: speech, a phone, two other browsers, and clients that misbehave.

    nice python -m tests.benchmarks.trial --minutes 60

`sttlab serve` transcribes what its microphone hears, which is PulseAudio's. A phone (Chromium)
sends the audio of its own microphone. A page in Chromium, one in Firefox and two scripts follow
the server's microphone, a recording is sent to `/files` from time to time, and `Rude` misbehaves.
Every utterance must have its text, or an event that says why not, and every page must show every
text.
"""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import psutil
import typer

from sttlab.audio import SAMPLE_RATE, Recording, to_pcm16, wav_bytes
from sttlab.bench import material, report
from sttlab.bench.commands import LONGEST_S, SHORTEST_S, Output, bar, folder, tell, write
from sttlab.bench.material import Clip
from sttlab.evaluate.wer import wer
from tests.benchmarks.visitors import TEXT_S, WAIT_S, Visitors
from tests.browser.engines import Firefox, firefox
from tests.conftest import find_chromium
from tests.pulse import Pulse, pulse
from tests.server.clients import running

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright

OUTCOMES = ("transcript", "suppressed", "transcription_failed")
LEFT_OUT = ("level", "partial", "speech_started", "speech_discarded")
PAUSES_S = 0.8, 3.0  # between the clips
MARGIN_S = 1.5  # by which the text of a clip may lie beside the time at which it was played
BUSY = 1013  # close code of a server that is late, or of a client that is
RUDE_PAUSE_S = 3.0  # between two who misbehave
EACH_S = 300  # a recording is sent, a page is loaded anew, and the phone's microphone is stopped
END_S = 60.0  # longest wait for the last texts

# What a page keeps, in order: for each line its stream and its text.
KEPT = """(async () => {
    const answer = (request) => new Promise((resolve) => {
        request.onsuccess = () => resolve(request.result);
    });
    const database = await answer(indexedDB.open("sttlab:/"));
    const entries = await answer(database.transaction("entries").objectStore("entries").getAll());
    database.close();
    return entries.sort((a, b) => a.order - b.order).map(({ stream, text }) => [stream, text]);
})()"""


@dataclass
class Account:
    """What became of the utterances of the messages of one socket after the other.

    Attributes
    ----------
    events : Counter
    lost_s : float
        Audio whose loss was said.
    texts : list of (str, str)
        Streams and texts of the transcripts.
    spans : list of (float, float)
        Start and end of each utterance, in seconds of the stream.
    open : set of (str, int)
        Streams and ids of utterances without an outcome.
    """

    events: Counter[str] = field(default_factory=Counter)
    lost_s: float = 0.0
    texts: list[tuple[str, str]] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    open: set[tuple[str, int]] = field(default_factory=set)


def account(messages: Sequence[dict[str, Any]], but: Collection[str] = ()) -> Account:
    """Account for the messages of `/ws?events=all`, but not for those of some streams."""
    found = Account()
    stream = ""
    for message in messages:
        event = message["event"]
        if event in ("hello", "state"):
            stream = message["stream"] or ""
        if stream in but:
            continue
        found.events[event] += 1
        if event == "utterance":
            found.open.add((stream, message["utterance_id"]))
            found.spans.append((message["start_s"], message["end_s"]))
        elif event in OUTCOMES:
            found.open.discard((stream, message["utterance_id"]))
        if event == "transcript":
            found.texts.append((stream, message["text"]))
        elif event == "samples_lost":
            found.lost_s += message["count"] / SAMPLE_RATE
    return found


class Follower:
    """A script that follows the server's microphone on a thread `bench-follower`."""

    def __init__(self, url: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.began = 0.0
        self.problem = ""
        self._url = url
        self._over, self._connected = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read, name="bench-follower", daemon=True)

    def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        with connect(self._url, max_queue=None) as client:
            self.began = time.monotonic()
            self._connected.set()
            while not self._over.is_set():
                try:
                    message = json.loads(client.recv(timeout=0.2))
                except TimeoutError:
                    continue
                except ConnectionClosed as closed:
                    self.problem = f"a client that follows was disconnected: {closed}"
                    return
                if message["event"] not in LEFT_OUT:
                    self.messages.append(message)

    def __enter__(self) -> Follower:
        self._thread.start()
        self._connected.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(WAIT_S)


class Rude(Visitors):
    """Misbehaves in more ways, and leaves a moment between them."""

    pause_s = RUDE_PAUSE_S

    def acts(self) -> dict[str, Callable[[], None]]:
        """Give what it does, by its name."""
        acts = super().acts() | {
            "audio in another form": self._send_another_form,
            "flood of messages": self._flood,
            "minute of audio at once": self._hurry,
            "upload that trickles": self._trickle,
            "microphone without audio": self._hold_a_place,
        }
        return {name: partial(self._unless_refused, act) for name, act in acts.items()}

    def _unless_refused(self, act: Callable[[], None]) -> None:
        """Do it, unless the server says that it is late, or that this client is too slow."""
        from websockets.exceptions import ConnectionClosed

        try:
            act()
        except ConnectionClosed as closed:
            if not closed.rcvd or closed.rcvd.code != BUSY or not closed.rcvd.reason:
                raise

    def leave(self) -> None:
        """Disconnect; others stay."""
        self.disconnect()

    def _closed(self, client: Any, code: int) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                client.recv(TEXT_S)
        except ConnectionClosed as closed:
            said = closed.rcvd
            if said is None or said.code not in (code, BUSY) or not said.reason:
                raise ValueError(f"closed with {closed.rcvd}, not {code} and why") from None

    def _send_another_form(self) -> None:
        clip = max(self.clips, key=lambda clip: clip.duration_s)
        pcm = to_pcm16(clip.samples)
        forms = {
            "float": clip.samples.astype("<f4").tobytes(),
            "stereo": np.repeat(pcm, 2).astype("<i2").tobytes(),
            "big-endian": pcm.astype(">i2").tobytes(),
            "WAV": wav_bytes(clip.samples),
        }
        name = list(forms)[self.rng.integers(len(forms))]
        with self.connect("?source=client&events=all") as client:
            data = forms[name]
            with contextlib.suppress(Exception):  # it is closed while it sends
                for begin in range(0, len(data), 32_000):
                    client.send(data[begin : begin + 32_000])
            self._closed(client, 1008)

    def _flood(self) -> None:
        with self.connect("?events=all") as client:
            with contextlib.suppress(Exception):
                for number in range(2000):
                    client.send(f"{number}")
            self._closed(client, 1008)

    def _hurry(self) -> None:
        """Send a minute at once: what is not taken must be said."""
        from websockets.exceptions import ConnectionClosedOK

        clip = self.clips[self.rng.integers(len(self.clips))]
        times = int(60 / clip.duration_s)
        pcm = to_pcm16(np.tile(clip.samples, times)).astype("<i2").tobytes()
        received = []
        with self.connect("?source=client&events=all") as client:
            for begin in range(0, len(pcm), SAMPLE_RATE):
                client.send(pcm[begin : begin + SAMPLE_RATE])
            client.send('{"end": true}')
            with contextlib.suppress(ConnectionClosedOK):
                while True:
                    received.append(json.loads(client.recv(TEXT_S)))
        found = account(received)
        if found.open or not found.texts:
            raise ValueError(f"{found.open} without an outcome, {len(found.texts)} texts")
        heard_s = max(end_s for _, end_s in found.spans)
        if heard_s < times * clip.duration_s - MARGIN_S and not found.lost_s:
            raise ValueError("audio was dropped, and nothing said")

    def _trickle(self) -> None:
        with socket.create_connection(self.address, WAIT_S) as client:
            head = f"POST /files HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 1000000\r\n\r\n"
            client.sendall(head.encode())
            client.settimeout(5)
            for _ in range(20):
                client.sendall(b"\0")
                with contextlib.suppress(TimeoutError):
                    if b" 408 " not in client.recv(1000):
                        raise ValueError("it was not told that it is too slow")
                    return
        raise ValueError("it held a place for an upload")

    def _hold_a_place(self) -> None:
        with self.connect("?source=client") as client:
            with contextlib.suppress(Exception):
                for _ in range(9):
                    client.send("hello")
                    self.stop.wait(8)
            self._closed(client, 1008)


class Phone:
    """A page of a phone that uses its own microphone, and all messages of its sockets."""

    def __init__(self, playwright: Playwright, url: str, audio: Path) -> None:
        self.messages: list[dict[str, Any]] = []
        speaks = f"--use-file-for-fake-audio-capture={audio}"
        self._browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--use-fake-device-for-media-stream", speaks]
        )
        about = {**playwright.devices["Pixel 7"], "permissions": ["microphone"]}
        self.page = self._browser.new_context(**about).new_page()
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._note))
        self.page.goto(url)

    def _note(self, frame: str | bytes) -> None:
        message = json.loads(frame)
        if message["event"] not in LEFT_OUT:
            self.messages.append(message)

    def start(self) -> None:
        """Use its own microphone."""
        self.page.get_by_role("button", name="Use my microphone").click()

    def stop(self) -> None:
        """Use it no longer, and wait for the last text."""
        self.page.get_by_role("button", name="Stop my microphone").click()
        self.page.get_by_role("button", name="Use my microphone").wait_for(timeout=1000 * TEXT_S)

    def close(self) -> None:
        """End the browser."""
        self._browser.close()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The results of a trial.

    Attributes
    ----------
    minutes : float
    played : int
        Clips that were played into the server's microphone.
    unheard : int
        Of these, how many are in no utterance, because their audio was lost, and that was said.
    words, word_error_rate : float
        Words of the clips, and how many of a word are wrong.
    events, phone_events : dict of int
        Messages by kind, from the server's microphone and from the phone's.
    lost_s, phone_lost_s : float
        Audio whose loss was said.
    rude : dict of int
        What misbehaved how often.
    memory_mb, threads, files : list of float
        Of the server, each minute.
    problems : list of str
        What is lost and was not said, and what else went wrong.
    """

    minutes: float
    played: int
    unheard: int
    words: int
    word_error_rate: float
    events: dict[str, int]
    phone_events: dict[str, int]
    lost_s: float
    phone_lost_s: float
    recordings: int
    rude: dict[str, int]
    memory_mb: list[float]
    threads: list[float]
    files: list[float]
    problems: list[str]

    def table(self) -> str:
        """Write the results as a Markdown table."""
        quarter = max(1, len(self.memory_mb) // 4)
        ends = [
            f"{np.median(values[:quarter]):.0f}, {np.median(values[-quarter:]):.0f}"
            for values in (self.memory_mb, self.threads, self.files)
        ]
        rows = [
            ("clips played", f"{self.played}, {self.unheard} of them lost, which was said"),
            ("words", f"{self.words}, WER {self.word_error_rate:.1%}"),
            ("the server's microphone", str(self.events)),
            ("the phone's microphone", str(self.phone_events)),
            ("seconds whose loss was said", f"{self.lost_s:.1f}, {self.phone_lost_s:.1f}"),
            ("recordings sent", str(self.recordings)),
            ("misbehaved", str(self.rude)),
            ("MB, threads, files, in the first and the last quarter", "; ".join(ends)),
            ("problems", str(len(self.problems))),
        ]
        head = f"| trial | {self.minutes:.0f} minutes |"
        return "\n".join([head, "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows)])


class Speech:
    """Plays clips into the microphone on a thread `bench-speech`."""

    def __init__(self, sound: Pulse, clips: Sequence[Clip], home: Path) -> None:
        self.played: list[tuple[float, float, Clip]] = []  # from, until, by the clock
        self._sound = sound
        self._clips = clips
        self._home = home
        self._rng = np.random.default_rng(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-speech", daemon=True)

    def _run(self) -> None:
        for clip in self._clips:
            Recording(clip.samples).save(self._home / f"{clip.name}.wav")
        while not self._stop.wait(self._rng.uniform(*PAUSES_S)):
            clip = self._clips[int(self._rng.integers(len(self._clips)))]
            began = time.monotonic()
            with self._sound.play(self._home / f"{clip.name}.wav") as playing:
                playing.wait(TEXT_S)
            self.played.append((began, time.monotonic(), clip))

    def __enter__(self) -> Speech:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(TEXT_S)


@dataclass
class Judgement:
    """What became of the clips that were played.

    Attributes
    ----------
    lost : int
        Clips in no utterance whose audio was lost, and that was said.
    missing : list of str
        Clips in no utterance for no reason that was given, and when they were played.
    words, word_error_rate : float
        Words of all clips, and how many of a word are wrong.
    """

    lost: int
    missing: list[str]
    words: int
    word_error_rate: float


def judged(speech: Speech, follower: Follower) -> Judgement:
    """Find the clips that are in no utterance, why that is so, and the errors of all words."""
    hello = next(m for m in follower.messages if m["event"] == "hello")
    zero = follower.began - hello["time_s"]
    utterances = [m for m in follower.messages if m["event"] == "utterance"]
    texts = [m for m in follower.messages if m["event"] == "transcript"]
    losses = [
        {"start_s": m["time_s"] - m["count"] / SAMPLE_RATE, "end_s": m["time_s"]}
        for m in follower.messages
        if m["event"] == "samples_lost"
    ]
    lost, missing, said, heard = 0, [], [], []
    for began, ended, clip in speech.played:
        a, b = began - zero - MARGIN_S / 2, ended - zero + MARGIN_S / 2

        def within(spans: Sequence[dict[str, Any]], a: float = a, b: float = b) -> bool:
            return any(m["end_s"] > a and m["start_s"] < b for m in spans)

        if not within(utterances) and within(losses):
            lost += 1
        elif not within(utterances):
            missing.append(f"{clip.name}, played from {a:.1f} to {b:.1f} s")
        said.append(clip.text)
        middle = [m for m in texts if a < (m["start_s"] + m["end_s"]) / 2 < b]
        heard.append(" ".join(m["text"] for m in middle))
    errors = wer(said, heard, language="en")
    return Judgement(lost, missing, errors.words, errors.wer)


def send_recording(url: str, data: bytes) -> str:
    """Send a recording, and give what went wrong."""
    with urlopen(Request(f"{url}files", data, method="POST"), timeout=TEXT_S) as answer:
        lines = [json.loads(line) for line in answer]
    texts = [line["text"] for line in lines if line["event"] == "transcript"]
    if lines[-1]["event"] != "done" or lines[-1]["problem"] or not texts:
        return f"the recording ended with {lines[-1]} and {len(texts)} texts"
    return ""


def compared(name: str, kept: Sequence[Sequence[str]], account: Account) -> Iterator[str]:
    """Compare the lines of a page with the texts that were sent, of the same streams."""
    streams = {stream for stream, _ in account.texts}
    lines = [text for stream, text in kept if stream in streams]
    texts = [text for _, text in account.texts if text]
    for text in (Counter(texts) - Counter(lines)).elements():
        yield f"{name} never showed {text!r}"
    for text in (Counter(lines) - Counter(texts)).elements():
        yield f"{name} shows {text!r}, which was never sent"
    if sorted(lines) == sorted(texts) and lines != texts:
        yield f"{name} shows lines in another order"


class Hour:
    """The browsers, while speech is played and others misbehave. Belongs to one thread."""

    def __init__(self, url: str, server: psutil.Process, phone: Phone, page: Page) -> None:
        self.recordings = 0
        self.memory: list[float] = []
        self.threads: list[float] = []
        self.files: list[float] = []
        self.problems: list[str] = []
        self._url = url
        self._server = server
        self._phone = phone
        self._page = page

    def run(self, minutes: float, data: bytes, progress: Callable[[str, float], None]) -> None:
        """Let the time pass. Now and then something happens that does happen."""
        began = due = time.monotonic()
        while (now := time.monotonic()) < began + 60 * minutes:
            progress("trial", (now - began) / 60 / minutes)
            self._look()
            if now >= due:
                due += EACH_S
                problem = send_recording(self._url, data)
                self.problems += [problem] if problem else []
                self.recordings += 1
                self._page.reload()
                self._phone.stop()
                self._phone.start()
            left_s = began + 60 * minutes - time.monotonic()
            self._page.wait_for_timeout(1000 * min(60, max(0, left_s)))

    def _look(self) -> None:
        self.memory.append(self._server.memory_info().rss / 1e6)
        self.threads.append(self._server.num_threads())
        self.files.append(self._server.num_fds())


def run(
    clips: Sequence[Clip], minutes: float, data: Path, progress: Callable[[str, float], None]
) -> Trial:
    """Run the trial."""
    from playwright.sync_api import sync_playwright

    rude: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sound = stack.enter_context(pulse())
        command = ("-m", "sttlab", "serve", "--port", "0", "--model", "tiny.en")
        process, ws_url = stack.enter_context(running(*command))
        log: list[str] = []
        assert process.stderr
        threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True).start()
        url = f"http://{urlsplit(ws_url).netloc}/"
        everything = stack.enter_context(Follower(f"{ws_url}?events=all"))
        plain = stack.enter_context(Follower(ws_url))
        playwright = stack.enter_context(sync_playwright())
        phone = Phone(playwright, url, data / "demo-phone.wav")
        stack.callback(phone.close)
        browser = playwright.chromium.launch(executable_path=find_chromium())
        stack.callback(browser.close)
        page = browser.new_page()
        page.goto(url)
        fox = stack.enter_context(firefox(home))
        fox.open(url)
        phone.start()
        hour = Hour(url, psutil.Process(process.pid), phone, page)
        visitors = Rude(url, np.random.default_rng(1), rude, clips, lambda: None)
        with visitors, Speech(sound, clips, home) as speech:
            hour.run(minutes, (data / "demo.flac").read_bytes(), progress)
        return ended(hour, minutes, (everything, plain), speech, phone, page, fox, visitors, log)


def ended(
    hour: Hour,
    minutes: float,
    followers: tuple[Follower, Follower],
    speech: Speech,
    phone: Phone,
    page: Page,
    fox: Firefox,
    visitors: Rude,
    log: Sequence[str],
) -> Trial:
    """Wait for the last texts, and account for all."""
    everything, plain = followers
    phone.stop()
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline and account(everything.messages).open:
        page.wait_for_timeout(500)
    page.wait_for_timeout(2000)
    found = account(everything.messages)
    own = account(phone.messages, {stream for stream, _ in found.texts})
    problems = [*hour.problems, *visitors.surprises, everything.problem, plain.problem]
    problems += [f"no outcome of utterance {key}" for key in sorted(found.open)]
    problems += [f"no outcome of the phone's utterance {key}" for key in sorted(own.open)]
    if [m["text"] for m in plain.messages] != [text for _, text in found.texts]:
        problems.append("a plain client received other texts")
    problems += compared("Chromium", page.evaluate(KEPT), found)
    problems += compared("Firefox", fox.run(f"return {KEPT}"), found)
    problems += compared("the phone", phone.page.evaluate(KEPT), own)
    problems += [line for line in log if "Traceback" in line]
    judgement = judged(speech, everything)
    problems += [f"in no utterance: {clip}" for clip in judgement.missing]
    return Trial(
        minutes=minutes,
        played=len(speech.played),
        unheard=judgement.lost,
        words=judgement.words,
        word_error_rate=judgement.word_error_rate,
        events=dict(found.events),
        phone_events=dict(own.events),
        lost_s=found.lost_s,
        phone_lost_s=own.lost_s,
        recordings=hour.recordings,
        rude=dict(sorted(visitors.counts.items())),
        memory_mb=hour.memory,
        threads=hour.threads,
        files=hour.files,
        problems=[problem for problem in problems if problem],
    )


def main(
    minutes: Annotated[float, typer.Option(min=1, help="Length of the trial.")] = 60.0,
    output: Output = Path("bench-results"),
) -> None:
    """Try a server in real time with a microphone, three browsers and clients that misbehave."""
    data = folder(None)
    clips, _ = material.read_clips(data, "en", SHORTEST_S, LONGEST_S)
    before = report.surroundings()
    with bar("trial") as progress:
        found = run(clips, minutes, data, progress)
    result = {"benchmark": "trial", "before": before, "after": report.surroundings()}
    write(output / "trial", result | asdict(found), found.table())
    for problem in found.problems:
        tell(problem)
    if found.problems:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
