"""A shape as a template of Go's text/template, with what Ollama gives to it: .Messages, .Think and .IsThinkSet."""

from collections.abc import Callable

from edgetune.gguf.runtimes.go.forms import KEEP, Form, loop, quoted
from edgetune.gguf.runtimes.go.shape import Shape, System, Turn, Unmatched

NO_SYSTEM = "This model's chat template accepts no system message"
NO_ROLE = "This model's chat template is used for user and assistant messages only"
NOT_FIRST = "This model's chat template does not begin with an assistant message"
TOO_LONG = "This message is too long to be searched"


def meaning_refusal(word: str) -> str:
    """What Ollama says where a message holds a word to which the template gives another meaning."""
    return f"This model's chat template gives {word} in a message another meaning"


def refuse(message: str) -> str:
    """A Go action that fails with a message: text/template names a template that is not there."""
    return f"{{{{ template {quoted(message)} . }}}}"


class Writer:
    """Actions and texts of a template in order; each of several actions in a row begins a line."""

    def __init__(self) -> None:
        self._source = ""
        self._after_text = True
        self.forms: dict[str, Form] = {}
        self.guards: list[str] = []

    def act(self, *codes: str) -> None:
        """Add actions."""
        for code in codes:
            self._source += f"{{{{ {code} }}}}" if self._after_text else f"\n{{{{- {code} }}}}"
            self._after_text = False

    def text(self, text: str) -> None:
        """Add a text as it is; one that Go or the Modelfile would read otherwise becomes a string."""
        if not text:
            return
        if "{{" not in text and '"' not in text and all(c == "\n" or c.isprintable() for c in text):
            self._source += text
            self._after_text = True
        else:
            self.act(quoted(text))

    def raw(self, source: str) -> None:
        """Add source that begins and ends with actions."""
        self._source += source if self._after_text else f"\n{source.replace('{{ ', '{{- ', 1)}"
        self._after_text = False

    def show(self, form: Form, value: str) -> None:
        """Print a value, stripped."""
        if form.changes:
            self.forms[form.name] = form
        self.act(form.show(value))

    def guard(self, terms: tuple[str, ...], value: str) -> None:
        """Fail where a value holds one of these words."""
        for term in terms:
            if term not in self.guards:
                self.guards.append(term)
            self.act(f'template "without-{self.guards.index(term)}" {value}')

    def source(self) -> str:
        """The whole template, with the templates it calls in front."""
        defined = [form.definition() for _, form in sorted(self.forms.items())]
        for number, word in enumerate(self.guards):
            size, name = len(word.encode()), f'"without-{number}"'
            defined.append(
                f"{{{{- define {name} }}}}{{{{ if ge (len .) {size} }}}}{{{{ if eq (slice . 0 {size}) {quoted(word)} }}}}"
                f"{refuse(meaning_refusal(word))}{{{{ else }}}}{{{{ template {name} (slice . 1) }}}}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}"
            )
        body = self._source if self._source.startswith("{{-") else self._source.replace("{{ ", "{{- ", 1)
        return "\n".join([*defined, body])


class _Emitter(Writer):
    def __init__(self, on: Shape, off: Shape | None) -> None:
        super().__init__()
        self._on = on
        self._off = off

    def either(self, pick: Callable[[Shape], str]) -> None:
        """A text of the shape, or of the one that does not think."""
        on, off = pick(self._on), pick(self._off) if self._off else pick(self._on)
        if on == off:
            self.text(on)
            return
        if not on and off:
            self.act("if $off")
            self.text(off)
        else:
            self.act("if not $off")
            self.text(on)
            if off:
                self.act("else")
                self.text(off)
        self.act("end")

    def build(self) -> str:
        """The template's source."""
        on = self._on
        self.act('$system := ""', "$has := false")
        if self._off:
            self.act("$off := and .IsThinkSet (not .Think)")
        self.act("range $i, $m := .Messages", 'if and (eq $i 0) (eq .Role "system")', "$has = true", "$system = .Content", "end", "end")
        self._begin(on.system)
        self.act("range $i, $m := .Messages", "$last := eq (len (slice $.Messages $i)) 1")
        if on.joined:
            self.act("$first := or (eq $i 0) (and $has (eq $i 1))")
        self.act('if and (eq $i 0) (eq .Role "system")', "if $last")
        self.either(lambda s: s.generation)
        self.act("end", 'else if eq .Role "user"')
        self._question()
        if not on.answer_first:
            self.act('else if and (eq .Role "assistant") (or (eq $i 0) (and $has (eq $i 1)))')
            self.raw(refuse(NOT_FIRST))
        self.act('else if and $last (eq .Role "assistant")')
        self._answer(on.open, lambda s: s.open)
        self.act('else if eq .Role "assistant"')
        self._answer(on.assistant, lambda s: s.assistant)
        self.act('else if eq .Role "system"')
        self._middle(on.middle)
        self.act("else")
        self.raw(refuse(NO_ROLE))
        self.act("end", "end")
        return self.source()

    def _begin(self, system: System | None) -> None:
        """What stands before the first turn."""
        if system is None:
            self.act("if $has")
            self.raw(refuse(NO_SYSTEM))
            self.act("end")
        elif system.position != "ignored":
            self.guard(system.guards, "$system")
            self._switch(system)
        if system is None or system.position != "front":
            self.either(lambda s: s.head)
            return
        self.act("if $has" if system.empty else "if $system")
        self.either(lambda s: _system(s).before)
        self.show(system.form if system.empty else KEEP, "$system")
        self.either(lambda s: _system(s).after)
        if self._on.head or (self._off and self._off.head):
            self.act("else")
            self.either(lambda s: s.head)
        self.act("end")

    def _switch(self, system: System) -> None:
        """Take the words that turn thinking on and off out of $system and follow the first; strip it where its being empty counts."""
        for number, (word, off) in enumerate(system.switches):
            if not self._off:
                raise Unmatched("a word in the system message changes it")
            size = len(word.encode())
            if not number:
                self.act("$switched := false", '$rest := ""', '$kept := ""', "$found := false", "$more := false")
            self.act("$rest = $system", '$kept = ""', "$found = false", "$more = $has")
            self.raw(
                loop(
                    f"{{{{ if lt (len $rest) {size} }}}}{{{{ $kept = print $kept $rest }}}}{{{{ $more = false }}}}"
                    f"{{{{ else if eq (slice $rest 0 {size}) {quoted(word)} }}}}{{{{ $found = true }}}}{{{{ $rest = slice $rest {size} }}}}"
                    "{{ else }}{{ $kept = print $kept (slice $rest 0 1) }}{{ $rest = slice $rest 1 }}{{ end }}",
                    refuse(TOO_LONG),
                )
            )
            self.act("$system = $kept", "if and $found (not $switched)", "$switched = true", f"$off = {str(off).lower()}", "end")
        if not system.empty and system.form.changes:
            if not system.switches:
                self.act("$more := false")
            self.act("$more = $has")
            cases = system.form.cases("$system")
            steps = "".join(f"{{{{ {'else ' if n else ''}if {c} }}}}{{{{ $system = {rest} }}}}" for n, (c, rest) in enumerate(cases))
            self.raw(loop(f"{steps}{{{{ else }}}}{{{{ $more = false }}}}{{{{ end }}}}", refuse(TOO_LONG)))

    def _before(self, pick: Callable[[Shape], str]) -> None:
        """What stands before a turn; before the first one, the head may hold it already."""
        if self._on.joined:
            self.act("if not $first")
            self.either(pick)
            self.act("end")
        else:
            self.either(pick)

    def _question(self) -> None:
        user, system = self._on.user, self._on.system
        self.guard(user.guards, ".Content")
        for opening, closing in self._on.wrapped:
            a, b = len(opening.encode()), len(closing.encode())
            end = f"slice .Content (len (slice .Content {b}))"
            starts = f"and (ge (len .Content) {a + b}) (eq (slice .Content 0 {a}) {quoted(opening)}) (eq ({end}) {quoted(closing)})"
            self.act(f"if {starts}")
            self.raw(refuse(meaning_refusal(opening)))
            self.act("end")
        if system and system.position == "last":
            self.act("if and $last $has" if system.empty else "if and $last $system")
            self.either(lambda s: _system(s).before)
            self.show(system.form if system.empty else KEEP, "$system")
            self.either(lambda s: _system(s).after)
            self.act("else")
            self._before(lambda s: s.user.before)
            self.act("end")
        else:
            self._before(lambda s: s.user.before)
        self.show(user.form, ".Content")
        self.either(lambda s: s.user.after)
        self._generation()

    def _generation(self) -> None:
        if self._on.generation or (self._off and self._off.generation):
            self.act("if $last")
            self.either(lambda s: s.generation)
            self.act("end")

    def _answer(self, answer: Turn, pick: Callable[[Shape], Turn]) -> None:
        self.guard(answer.guards, ".Content")
        if answer.thinking:
            lead, behind, form = answer.thinking
            shapes, start = (self._on, self._off or self._on), self._on.assistant.before
            if self._off and pick(self._off).thinking != answer.thinking:
                raise Unmatched("it writes thinking differently when it is turned off")
            if not all(text.startswith(start) for text in (lead, *(pick(s).before for s in shapes))):
                start = ""
            self._before(lambda _s: start)
            self.act("if .Thinking")  # the marks of thinking alone between the actions: Ollama finds them so
            self.text(lead[len(start) :])
            self.show(form, ".Thinking")
            self.text(behind)
            self.act("else")
            self.either(lambda s: pick(s).before[len(start) :])
            self.act("end")
        else:
            self._before(lambda s: pick(s).before)
        if answer.cut:
            self._cut(answer)
        else:
            self.show(answer.form, ".Content")
        self.either(lambda s: pick(s).after)

    def _cut(self, answer: Turn) -> None:
        """Print what follows the last mark, found by going through the text."""
        size = len(answer.cut.encode())
        self.act("$left := .Content", "$shown := .Content", "$found := false", "$more := true")
        self.raw(
            loop(
                f"{{{{ if lt (len $left) {size} }}}}{{{{ $more = false }}}}{{{{ else if eq (slice $left 0 {size}) {quoted(answer.cut)} }}}}"
                f"{{{{ $left = slice $left {size} }}}}{{{{ $shown = $left }}}}{{{{ $found = true }}}}"
                "{{ else }}{{ $left = slice $left 1 }}{{ end }}",
                refuse(TOO_LONG),
            )
        )
        self.act("if $found")
        self.show(answer.cut_form, "$shown")
        self.act("else")
        self.show(answer.form, "$shown")
        self.act("end")

    def _middle(self, middle: Turn | None) -> None:
        if middle is None:
            self.raw(refuse(NO_ROLE))
            return
        if not middle.ignored:
            if middle.optional:
                self.act("if .Content")
            self.either(lambda s: s.middle.before if s.middle else "")
            self.show(middle.form, ".Content")
            self.either(lambda s: s.middle.after if s.middle else "")
            if middle.optional:
                self.act("end")
        self._generation()


def _system(shape: Shape) -> System:
    if shape.system is None:
        raise Unmatched("it accepts a system message only with thinking on, or only with it off")
    return shape.system


def emit(on: Shape, off: Shape | None) -> str:
    """The Go template. off: the shape with thinking turned off, where it differs. Raises Unmatched."""
    return _Emitter(on, off if off != on else None).build()
