"""A GGUF in a llama.cpp process of its own, with adapters on it; the process is started again after a crash."""

from pathlib import Path

from edgetune.chat.engine import Engine


class LoadedModel:
    """The file and the process. All methods block but the properties: call them in a thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scales: dict[str, tuple[Path, float]] = {}
        self._engine: Engine | None = None

    def load(self) -> Engine:
        """Start llama.cpp with the file, or give the one that runs. After a crash, the adapters are still there."""
        if self._engine is None:
            engine = Engine(self.path)
            for name, (path, scale) in self._scales.items():
                engine.load_adapter(path, scale, name)
            self._engine = engine
            self._on_start(engine)
        return self._engine

    def _on_start(self, engine: Engine) -> None:
        """Called by `load` for each new process."""

    @property
    def context(self) -> int:
        """Tokens the context holds; 0 before the file is loaded."""
        return self._engine.info.n_ctx if self._engine else 0

    @property
    def description(self) -> str:
        """The model in a few words."""
        return self._engine.info.description.replace(" ?B", "") if self._engine else ""

    @property
    def adapters(self) -> dict[str, float]:
        """Adapters that are loaded, with their scale."""
        return {name: scale for name, (_, scale) in self._scales.items()}

    def set_adapter(self, path: Path, scale: float) -> None:
        """Use an adapter at a scale from now on, 0 for not at all; it is loaded first. InputError where it does not fit."""
        engine = self.load()
        name = next((known for known, (file, _) in self._scales.items() if file == path), "")
        if name:
            engine.set_scale(name, scale)
        else:
            name = path.stem if path.stem not in self._scales else str(path)
            engine.load_adapter(path, scale, name)
        self._scales[name] = path, scale

    @property
    def adapter_files(self) -> list[tuple[Path, float]]:
        """Files of the adapters that are loaded, with their scale."""
        return list(self._scales.values())

    def scale_of(self, path: Path) -> float | None:
        """The scale of an adapter; None where it is not loaded."""
        return next((scale for file, scale in self._scales.values() if file == path), None)

    def close(self) -> None:
        """End the process. The next question starts it again."""
        engine, self._engine = self._engine, None
        if engine:
            engine.close()
