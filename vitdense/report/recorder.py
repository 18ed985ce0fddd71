"""Notes what a run does, and writes its page: at the start, at validations, at the end, and in between."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from ..compat import is_sharded
from ..console import display_path, say
from ..dials import DialResult
from ..engine.patience import monitored
from ..engine.processes import unwrapped
from ..engine.stopwatch import OTHER, REPORT
from ..engine.time_limit import time_limit
from ..engine.work_dir import PAGE, trained_model
from ..errors import NotFinite, PreflightPassed, Stopped, UserError
from ..mmengine_internals import is_resuming
from ..model_state import in_mode
from .data_facts import data_facts
from .evaluate import evaluate, save_evaluated
from .explained import explain_run
from .facts import Dial, RunFacts, read_facts, write_facts
from .page import write_page
from .start import facts_at_start, note_costs

SHARE = 0.01  # of a run's time that its page may take between two validations
EXPLAINED = 2.0  # seconds that the pictures of attention take at least
LATENCIES = 3  # runs of one image, whose median is shown


class ReportHook(Hook):
    """`report.html` of a run; a page that cannot be written is a warning, and never ends a run.

    Args:
        console: for the warning.
    """

    priority = 'LOWEST'

    def __init__(self, console: Console):
        self.console = console
        self.facts: RunFacts | None = None
        self.before: Mapping[str, float] = {}  # seconds of earlier sessions
        self.warned = False
        self.took = 0.0  # to write the page the last time, in seconds
        self.written = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        if not is_main_process():  # whose `facts` stay None
            return
        with self._tried(runner):
            self.facts = facts_at_start(runner, training=True)
        if self.facts is None:
            return
        facts, val = self.facts, runner.val_dataloader
        with self._tried(runner):
            if is_resuming(runner):
                self._continue(runner, facts)
        with self._tried(runner):
            note_costs(runner, facts, val or runner.train_dataloader)
        with self._tried(runner):
            facts.data['train'] = data_facts(runner.train_dataloader.dataset, facts.segments)
            if val:
                facts.data['val'] = data_facts(val.dataset, facts.segments)
        with self._tried(runner):
            self._write(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self.facts is None:
            return
        self.facts.iteration = runner.iter + 1
        if time.monotonic() - self.written > self.took / SHARE:
            with self._tried(runner):
                self._write(runner)

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        if self.facts is None:  # a validation alone
            return
        self.facts.iteration = runner.iter
        if metrics:
            with self._tried(runner):
                self._note_validation(runner, metrics)
            if not self.facts.latency:  # which is that of all weights
                with self._tried(runner):
                    self._measure(runner, runner.val_dataloader.dataset)
        with self._tried(runner):
            self._write(runner)

    def before_test(self, runner: Runner) -> None:
        if not is_main_process() or self.facts:  # of the setting of the dials before
            return
        with self._tried(runner):
            self.facts = facts_at_start(runner, training=False)
        if self.facts is None:
            return
        with self._tried(runner):
            note_costs(runner, self.facts, runner.test_dataloader)
        with self._tried(runner):
            self.facts.data['val'] = data_facts(runner.test_dataloader.dataset, self.facts.segments)

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        if self.facts is None:
            return
        dataset = runner.test_dataloader.dataset
        key, higher = _monitored(runner, metrics) if metrics else ('', True)
        if metrics and self._is_best(key, float(metrics[key]), higher):  # of several settings of dials
            with self._tried(runner):
                found = evaluate(runner.test_evaluator, dataset, metrics, self.facts.palette)
                self.facts.evaluated = save_evaluated(found, Path(runner.work_dir), 0, key, higher)
        if not self.facts.latency:
            with self._tried(runner):
                self._measure(runner, dataset)

    def note_dials(self, results: Iterable[DialResult]) -> None:
        """What tests at several settings of SuperViT's dials have found."""
        if self.facts and self.facts.evaluated:
            key = self.facts.evaluated.monitored
            self.facts.dials = [
                Dial(*one.setting, float(one.scores[key]), one.seconds, one.images, one.multiply_adds)
                for one in results
            ]

    @contextmanager
    def recording(self, runner: Runner) -> Iterator[None]:
        """While the run runs: its page says how it ended."""
        try:
            yield
        except PreflightPassed:
            raise
        except BaseException as error:
            with self._tried(runner):
                self._end(runner, error)
            raise
        with self._tried(runner):
            self._end(runner, None)

    def _continue(self, runner: Runner, facts: RunFacts) -> None:
        """With what the sessions before have noted, up to where this one was resumed."""
        at, folder = runner.iter, Path(runner.cfg.load_from or '').parent
        try:  # of the run whose checkpoint it is, and of no other that lies where this one writes
            earlier = read_facts(folder)
        except UserError:  # of an earlier version
            earlier = None
        if earlier and earlier.trains:
            self.before, facts.started = earlier.seconds, earlier.started
            if earlier.line('device') == facts.line('device'):
                facts.latency = earlier.latency
            facts.events = [event for event in earlier.events if event[0] <= at]
            facts.validations = [one for one in earlier.validations if one[0] <= at]
            here = folder.resolve() == Path(runner.work_dir).resolve()
            if here and earlier.evaluated and earlier.evaluated.iteration <= at:
                facts.evaluated = earlier.evaluated
        facts.event('resumed')

    def _note_validation(self, runner: Runner, metrics: Mapping[str, float]) -> None:
        facts = self.facts
        assert facts is not None
        dataset = runner.val_dataloader.dataset
        key, higher = _monitored(runner, metrics)
        score = float(metrics[key])
        facts.validations.append([runner.iter, score])
        if not self._is_best(key, score, higher):
            return
        found = evaluate(runner.val_evaluator, dataset, metrics, facts.palette)
        facts.evaluated = save_evaluated(found, Path(runner.work_dir), runner.iter, key, higher)

    def _is_best(self, key: str, score: float, higher: bool = True) -> bool:
        """Whether it is better than what the page shows in detail."""
        best = self.facts.evaluated if self.facts else None
        if best is None or best.monitored != key:
            return True
        known = best.scores[key]
        return math.isnan(known) or (score > known if higher else score < known)

    def _measure(self, runner: Runner, dataset: Any) -> None:
        assert self.facts is not None
        if is_sharded(unwrapped(runner)):  # which all processes would have to run
            return
        model, item = unwrapped(runner), dataset[0]
        times = []
        with in_mode(model, training=False), torch.no_grad():
            for _ in range(LATENCIES + 1):
                began = time.perf_counter()
                model.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                times.append(time.perf_counter() - began)
        self.facts.latency = median(times[1:])

    def _explain(self, runner: Runner) -> None:
        """What the model looks at, where that is a small share of the run's time."""
        assert self.facts is not None
        within = SHARE * sum(runner.stopwatch.seconds().values())
        # `vitdense report` draws them; a run that has to end in time ends
        if within < EXPLAINED or time_limit(runner):
            return
        if not (self.facts.trains or runner.cfg.load_from):  # an exported file, which keeps no layers
            return
        folder, loader = Path(runner.work_dir), runner.val_dataloader if self.facts.trains else None
        if loader is None:
            loader = runner.test_dataloader
        checkpoint = trained_model(folder) if self.facts.trains else Path(runner.cfg.load_from)
        explain_run(folder, checkpoint, loader.dataset, within)

    def _end(self, runner: Runner, error: BaseException | None) -> None:
        facts = self.facts
        if facts is None:
            return
        if facts.trains:  # where a hook ends a run after its iteration, MMEngine has not counted that yet
            facts.iteration = max(facts.iteration, runner.iter)
        if error is None:
            facts.state = 'finished'
            with self._tried(runner):
                self._explain(runner)
            limit = time_limit(runner)
            if limit and limit.over:
                facts.total = runner.iter
                facts.reason = (
                    f'iteration {runner.iter} within {limit.minutes:g} minutes, '
                    f'of a schedule of {limit.nominal}'
                )
            elif facts.trains and runner.iter < facts.total:
                facts.reason = f'ended after iteration {runner.iter} of {facts.total}'
        elif isinstance(error, Stopped):
            facts.state, facts.reason = 'stopped', str(error).removeprefix('stopped ')
        elif isinstance(error, (KeyboardInterrupt, SystemExit)):
            facts.state, facts.reason = 'stopped', 'at once, by a second signal'
        else:
            facts.state = 'failed'
            name = '' if isinstance(error, (UserError, NotFinite)) else f'{type(error).__name__}: '
            facts.reason = name + str(error)
        self._write(runner)

    def _write(self, runner: Runner) -> None:
        facts, folder = self.facts, Path(runner.work_dir)
        assert facts is not None
        began = time.monotonic()
        now = runner.stopwatch.seconds()
        facts.seconds = {part: seconds + self.before.get(part, 0.0) for part, seconds in now.items()}
        pause = began - self.written  # the next one is expected after the longest of what was and what may be
        facts.pause = max(facts.pause if facts.written else 0.0, pause, self.took / SHARE)
        facts.written = time.time()
        if facts.trains:
            if time_limit(runner):
                facts.total = max(runner.max_iters, facts.iteration)  # as it looks now
            try:
                facts.checkpoint = display_path(trained_model(folder))
            except UserError:
                facts.checkpoint = ''
        else:
            facts.checkpoint = display_path(runner.cfg.load_from or '')
        write_facts(facts, folder)
        write_page(facts, folder, folder / PAGE)
        self.written = time.monotonic()
        self.took = self.written - began

    @contextmanager
    def _tried(self, runner: Runner) -> Iterator[None]:
        """Whatever fails inside, the run goes on; the time is the page's."""
        runner.stopwatch.switch(REPORT)
        try:
            yield
        except Exception as error:
            runner.logger.error('The page of the run cannot be written', exc_info=True)
            if not self.warned:
                self.warned = True
                reason = f'{type(error).__name__}: {error}'.splitlines()[0]
                where = display_path(runner.logger.log_file)
                say(
                    self.console, 'report', f'warning: not written: {reason} (traceback in {where})', 'yellow'
                )
        finally:
            runner.stopwatch.switch(OTHER)


def _monitored(runner: Runner, metrics: Mapping[str, float]) -> tuple[str, bool]:
    """The score that the best weights are chosen by, and whether more of it is better."""
    key, rule = monitored(runner, metrics)
    return (key, rule == 'greater') if key in metrics else (next(iter(metrics)), True)
