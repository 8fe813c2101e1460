"""A run: what it does now, its curves, its events in words, its answers over time, and what to do next."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from edgetune import methods
from edgetune.errors import EdgeTuneError
from edgetune.machine import hardware
from edgetune.runs import launch, manage
from edgetune.runs.history import History
from edgetune.runs.rebase import rebase
from edgetune.sessions.models import Model
from edgetune.storage.workspace import Run
from edgetune.text import one_line
from tui.dialogs.ask import AskText
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.navigation import open_screen
from tui.pages.page import Page
from tui.run_words import headline, machine_text, what_next
from tui.widgets.chart import Chart, Plotted
from tui.widgets.event_list import EventList
from tui.widgets.samples import Samples

EVERY = 0.25
"""Seconds between two looks at the log: what came in between is drawn at once."""
FEEL_EVERY = 4.0
"""Seconds between two looks at the temperature."""
SMOOTHINGS = (0.0, 0.6, 0.9)
ZOOMS = (1.0, 0.5, 0.2)
LIVE = ("running", "waiting", "stopping")
VIEWS = {"charts": "1 Charts", "more": "2 More", "samples": "3 Answers"}
"""What is shown of a run, one at a time, and what it is called."""


class RunScreen(Page):
    """Shows one run, live."""

    NAME = "Run"
    ABOUT = (
        "A run while it trains, and afterwards. Leaving this screen or the app does not stop it. Pausing writes a checkpoint first; "
        "a paused, interrupted or failed run resumes from its last checkpoint. The dots on the loss are the held-out loss: "
        "while it falls the model learns something general, when it rises it begins to learn by heart."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("run.pause", "p", "pause", "Pause", "Save and stop; it can be resumed later."),
        key("run.resume", "r", "resume", "Resume", "Resume from the last checkpoint."),
        key("run.chat", "c", "chat", "Chat", "Talk with the result."),
        key("run.versus", "b", "versus", "Base and tuned", "The same question to the result and to its base.", show=False),
        key("run.export", "e", "export", "Export", "Write the result as GGUF files."),
        key("run.rank", "k", "rank", "Rank", "Rank answers of the result to teach the model what you like."),
        key("run.arena", "A", "arena", "Arena", "The result against its base, blind.", show=False),
        key("run.rebase", "m", "rebase", "Base moved", "Name the folder where its base is now."),
        key("run.why", "w", "why", "Why", "Why it ended, and what to do."),
        key("run.view", "tab", "next_view", "Next view", "Loss, the other curves, answers.", show=False),
        key("run.charts", "1", "view('charts')", "Charts", "Loss and events.", show=False),
        key("run.more", "2", "view('more')", "More", "Learning rate, gradient norm, speed and memory.", show=False),
        key("run.samples", "3", "view('samples')", "Answers", "The same questions, answered over time.", show=False),
        key("run.every", "a", "every", "All events", "Show all events, every training step too, or only the main ones.", show=False),
        key("run.smooth", "s", "smooth", "Smooth", "More smoothing of the curves, or none."),
        key("run.log", "l", "log", "Log scale", "Logarithmic or linear y axis."),
        key("run.zoom", "z", "zoom", "Zoom", "Show the last half, the last fifth, or all of it.", show=False),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run_shown = run
        self.history = History(run)
        self.status = ""
        self.writes_answers = True
        self.base_is_there = True
        self.temperature: float | None = None
        self.view = "charts"
        self._busy = False
        self._seen: tuple[Any, ...] = ()
        self._fresh, self._turn_at = True, 0

    def body(self) -> Iterable[Widget]:
        """Headline; then one of three views."""
        curves = self.history.curves
        yield Static("", id="headline", markup=False)
        yield Static("", id="views")
        loss = [Plotted("loss", curves["loss"]), Plotted("held-out", curves["eval_loss"], "accent", dots=True)]
        yield Horizontal(Chart("Loss · dots: held out", loss, id="loss"), EventList(self.history, id="events"), id="charts")
        yield Container(
            Chart("Learning rate", [Plotted("learning rate", curves["learning_rate"], "secondary")]),
            Chart("Gradient norm", [Plotted("gradient norm", curves["grad_norm"], "warning")]),
            Chart("Tokens/s", [Plotted("tokens/s", curves["tokens_per_second"], "success")]),
            Chart("Memory (MiB)", [Plotted("memory", curves["memory"], "primary")], unit=2**20),
            id="more",
        )
        yield Samples(id="samples")

    def on_mount(self) -> None:
        """Begin to follow the log."""
        self.bar.title(f"Run · {self.run_shown.name}")
        self.action_view("charts")
        self.follow()
        self.set_interval(EVERY, self.follow_on)
        self.set_interval(FEEL_EVERY, self.feel)

    def follow_on(self) -> None:
        """Look again unless the last look still goes on, or another screen is in front."""
        if not self._busy and self.app.screen is self:
            self.follow()

    @work(group="feel", exclusive=True)
    async def feel(self) -> None:
        """How warm the device is, while it works and somebody looks."""
        if self.status in LIVE and self.app.screen is self:
            self.temperature = await run_in_thread(hardware.temperature, self.history.state.device)

    @work(group="follow")
    @show_errors
    async def follow(self) -> None:
        """Read what is new in the log, a piece at a time, and draw it."""
        self._busy = True
        try:
            while events := await run_in_thread(self.history.read):
                self.history.take(events)
            if self._fresh:
                self.writes_answers = methods.of(await run_in_thread(self.run_shown.request)).writes_answers
                await self.look_for_base()
            self.draw(await run_in_thread(lambda: self.history.status))
            self._fresh = False
        finally:
            self._busy = False

    async def look_for_base(self) -> None:
        """Note whether the base is where it was, and say so where it is not."""
        base = Path((await run_in_thread(self.run_shown.request))["base"])
        self.base_is_there = await run_in_thread(base.is_dir)
        self.refresh_bindings()
        if not self.base_is_there:
            ask = with_keys("{run.rebase}: name the folder where it is now.")
            self.ours.say(f"Its base is not in {one_line(str(base))} any more. {ask}")

    def draw(self, status: str) -> None:
        """Show what the history holds, where it changed."""
        seen = (status, len(self.history.places), len(self.history.state.samples))
        if seen == self._seen:
            return

        # The headline comes first: the charts are slow to draw.
        self._seen, before, self.status = seen, self.status, status
        self.query_one("#headline", Static).update(
            headline(self.history, status, self.writes_answers, self.app.theme_variables, self.ours.ascii_only, self.size.width)
        )
        self._draw_charts()
        self.query_one(EventList).update()
        self.query_one(Samples).show(self.history.state.samples)
        self.bar.note(machine_text(self.history, status, self.temperature))

        # Who watches is told when a run ends.
        if before != status:
            self.refresh_bindings()
            if before in LIVE and status == "finished":
                self.ours.say(f"{self.run_shown.name} is finished. {what_next(self.run_shown, self.writes_answers)}")
            elif before in LIVE and status in ("failed", "interrupted"):
                self.failed()

    def _draw_charts(self) -> None:
        """While it runs one chart in turn, so that a key never waits for all of them; otherwise all."""
        charts = list(self.query(Chart))
        visible = [chart for chart in charts if chart.is_on_screen]
        if self._fresh or self.status not in LIVE:
            for chart in charts:
                chart.redraw()
        elif visible:
            self._turn_at += 1
            at = self._turn_at % max(len(visible), 2)
            if at < len(visible):
                visible[at].redraw()

    def recolour(self) -> None:
        """The headline again; the rest draws itself."""
        if self.status:
            self._seen = ()
            self.draw(self.status)
        self.query_one(EventList).refresh()

    def failed(self) -> None:
        """Say why the run ended."""
        error = self.history.state.error
        failure = EdgeTuneError(error["title"], error["cause"], error["remedy"]) if error else launch.died(self.run_shown)
        open_screen(self.app, "error", failure)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "pause":
            return self.status in ("running", "waiting")
        if action == "resume":
            return self.status in ("stopped", "interrupted", "failed", "new")
        if action in ("chat", "export", "versus", "rank", "arena"):
            return self.status == "finished" and self.writes_answers
        if action == "rebase":
            return not self.base_is_there and self.status not in LIVE
        if action == "why":
            return self.status in ("failed", "interrupted")
        if action in ("smooth", "log", "zoom"):
            return self.view != "samples"
        return True

    def action_view(self, name: str) -> None:
        """Show one of the three views."""
        self.view = name
        for view in VIEWS:
            self.query_one(f"#{view}").display = view == name
        self.query_one({"charts": "#events", "more": "#more", "samples": "#samples"}[name]).focus()
        marks = (
            (f"[{text}]" if view == name else f" {text} ", Style.from_meta({"@click": f"screen.view('{view}')"}))
            for view, text in VIEWS.items()
        )
        self.query_one("#views", Static).update(Content("  ").join(Content.styled(text, style) for text, style in marks))
        self.refresh_bindings()

    def action_next_view(self) -> None:
        """The view after this one."""
        names = list(VIEWS)
        self.action_view(names[(names.index(self.view) + 1) % 3])

    def action_every(self) -> None:
        """All events, or news."""
        self.query_one(EventList).action_every()

    def _turn(self, name: str, values: tuple[Any, ...]) -> Any:
        charts = list(self.query(Chart))
        now = values[(values.index(getattr(charts[0].view, name)) + 1) % len(values)]
        for chart in charts:
            chart.view = replace(chart.view, **{name: now})
            chart.redraw()
        return now

    def action_smooth(self) -> None:
        """More smoothing, or none."""
        now = self._turn("smoothing", SMOOTHINGS)
        self.ours.say(f"Smoothing {now:g}" if now else "No smoothing")

    def action_log(self) -> None:
        """Logarithmic heights, or plain."""
        self.ours.say("Log scale" if self._turn("log_scale", (False, True)) else "Linear scale")

    def action_zoom(self) -> None:
        """The last part of the steps, or all."""
        now = self._turn("zoom", ZOOMS)
        self.ours.say(f"The last {now:.0%} of the steps" if now < 1 else "All steps")

    @work(group="control")
    @show_errors
    async def action_pause(self) -> None:
        """Ask the worker to stop after a checkpoint."""
        await run_in_thread(launch.request_stop, self.run_shown)
        self.ours.say("Pausing: finishing this step and saving.")
        self.follow_on()

    @work(group="control", exclusive=True)
    @show_errors
    async def action_resume(self) -> None:
        """Launch a worker that goes on."""
        await run_in_thread(manage.prepare_resume, self.run_shown)
        await run_in_thread(launch.start, self.run_shown.folder)
        self.ours.say("Resuming from the last checkpoint.")
        self.follow_on()

    @work(group="control", exclusive=True)
    @show_errors
    async def action_rebase(self) -> None:
        """Ask for the base's new folder, and take it if that very base is there."""
        folder = await self.app.push_screen_wait(AskText("In which folder is the base now?"))
        if folder:
            place = await run_in_thread(rebase, self.run_shown, folder)
            self.ours.say(f"The base is in {one_line(str(place))}.")
            await self.look_for_base()

    def action_chat(self) -> None:
        """Talk with the result."""
        open_screen(self.app, "chat", self.run_shown.name)

    def action_versus(self) -> None:
        """Base and tuned side by side."""
        open_screen(self.app, "versus", self.run_shown)

    def action_why(self) -> None:
        """Why it ended."""
        self.failed()

    def action_rank(self) -> None:
        """Answers of the result, put in order."""
        open_screen(self.app, "rank_setup", [Model("run", self.run_shown.name)])

    @work(group="control")
    @show_errors
    async def action_arena(self) -> None:
        """The result and what it was made from, blind."""
        base = (await run_in_thread(self.run_shown.request))["base"]
        open_screen(self.app, "arena_setup", [Model("run", self.run_shown.name), Model("base", str(base))])

    def action_export(self) -> None:
        """Write GGUF files."""
        open_screen(self.app, "export", self.run_shown)
