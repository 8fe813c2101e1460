"""Vector code for this machine's processor, compiled by LLVM: one operation on several independent numbers ("lanes") at once.

A kernel is written as Python that computes with `Lanes` and is run once, to build it. Every operation is the IEEE one in the order
written: no fused multiply-add, no reordering, so that a lane holds the bits that plain C compiled without such liberties gives.

    code = Code("halve", width())
    for index in code.loop(8):
        ...
    function = code.compile()
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding, ir

FLOAT, INT, INDEX, POINTER = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.PointerType()
ARGUMENTS = (POINTER, POINTER, POINTER, POINTER, INDEX, INDEX)
"""Arguments of every kernel: values, bytes to write, scratch memory, importance, number of tiles, blocks in a row."""


def _machine() -> Any:
    """This machine as a compiler's target; an engine becomes its owner, so each needs a separate one."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(cpu=binding.get_host_cpu_name(), features=features.flatten(), opt=2, jit=True)


@cache
def width() -> int:
    """Lanes that fill this processor's vector registers."""
    return 16 if binding.get_host_cpu_features().get("avx512f") else 8


class Lanes:
    """A vector of float32, int32 or truth values. Operators work lane by lane; numbers stand for the same in every lane."""

    def __init__(self, code: "Code", value: Any) -> None:
        self.code = code
        self.value = value
        self.real = value.type.element == FLOAT

    def _with(self, other: "Lanes | float", real: str, whole: str) -> "Lanes":
        operation = getattr(self.code.builder, real if self.real else whole)
        return Lanes(self.code, operation(self.value, self._same(other)))

    def _same(self, other: "Lanes | float") -> Any:
        return other.value if isinstance(other, Lanes) else self.code.constant(other, self.real).value

    def __add__(self, other: "Lanes | float") -> "Lanes":
        return self._with(other, "fadd", "add")

    def __sub__(self, other: "Lanes | float") -> "Lanes":
        return self._with(other, "fsub", "sub")

    def __mul__(self, other: "Lanes | float") -> "Lanes":
        return self._with(other, "fmul", "mul")

    def __truediv__(self, other: "Lanes | float") -> "Lanes":
        return self._with(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: float) -> "Lanes":
        return self.code.constant(other, self.real) / self

    def __and__(self, other: "Lanes | int") -> "Lanes":
        return self._with(other, "", "and_")

    def __or__(self, other: "Lanes | int") -> "Lanes":
        return self._with(other, "", "or_")

    def __lshift__(self, other: int) -> "Lanes":
        return self._with(other, "", "shl")

    def __rshift__(self, other: int) -> "Lanes":
        """Keeps the sign."""
        return self._with(other, "", "ashr")

    def __neg__(self) -> "Lanes":
        return Lanes(self.code, self.code.builder.fneg(self.value))

    def _compare(self, sign: str, other: "Lanes | float") -> "Lanes":
        compare = self.code.builder.fcmp_ordered if self.real else self.code.builder.icmp_signed
        return Lanes(self.code, compare(sign, self.value, self._same(other)))

    def __lt__(self, other: "Lanes | float") -> "Lanes":
        return self._compare("<", other)

    def __gt__(self, other: "Lanes | float") -> "Lanes":
        return self._compare(">", other)

    def equals(self, other: "Lanes | float") -> "Lanes":
        """Where both are the same number (-0 is 0)."""
        return self._compare("==", other)

    def differs(self, other: "Lanes | float") -> "Lanes":
        """Where they are not the same number."""
        return self._compare("!=", other)

    def select(self, yes: "Lanes", no: "Lanes | float") -> "Lanes":
        """Of truth values: `yes` where true, else `no`."""
        return Lanes(self.code, self.code.builder.select(self.value, yes.value, yes._same(no)))

    def clamp(self, low: int, high: int) -> "Lanes":
        """Whole numbers within bounds, both included."""
        bounded = (self < high).select(self, high)
        return (bounded > low).select(bounded, low)

    def absolute(self) -> "Lanes":
        """The absolute value, |x|."""
        return self.code.intrinsic("llvm.fabs", self)

    def root(self) -> "Lanes":
        """√x, rounded as IEEE says."""
        return self.code.intrinsic("llvm.sqrt", self)

    def rounded(self) -> "Lanes":
        """The nearest whole number, halves away from zero, as int32."""
        nearest = self.code.intrinsic("llvm.round", self)
        return Lanes(self.code, self.code.builder.fptosi(nearest.value, self.code.ints))

    def to_float(self) -> "Lanes":
        """Whole numbers as float32."""
        return Lanes(self.code, self.code.builder.sitofp(self.value, self.code.floats))

    def bits(self) -> "Lanes":
        """The same bits, as int32 of a float32 or the other way round."""
        return Lanes(self.code, self.code.builder.bitcast(self.value, self.code.ints if self.real else self.code.floats))


class Variable:
    """Lanes that change in a loop."""

    def __init__(self, code: "Code", start: Lanes) -> None:
        with code.builder.goto_entry_block():
            self._pointer = code.builder.alloca(start.value.type)
        self._code = code
        self.value = start

    @property
    def value(self) -> Lanes:
        """The current lanes."""
        return Lanes(self._code, self._code.builder.load(self._pointer, typ=self._pointer.allocated_type))

    @value.setter
    def value(self, new: Lanes) -> None:
        self._code.builder.store(new.value, self._pointer)


class Array:
    """Vectors in the scratch memory. Indices: whole numbers, or what `Code.loop` gives."""

    def __init__(self, code: "Code", kind: Any, start: Any) -> None:
        self._code = code
        self._kind = kind
        self._start = start

    def from_(self, index: Any) -> "Array":
        """The array that begins at an index."""
        return Array(self._code, self._kind, self._pointer(index))

    def _pointer(self, index: Any) -> Any:
        number = index if isinstance(index, ir.Value) else INDEX(index)
        return self._code.builder.gep(self._start, [number], inbounds=True, source_etype=self._kind)

    def __getitem__(self, index: Any) -> Lanes:
        return Lanes(self._code, self._code.builder.load(self._pointer(index), align=4 * self._code.width, typ=self._kind))

    def __setitem__(self, index: Any, new: Lanes) -> None:
        self._code.builder.store(new.value, self._pointer(index), align=4 * self._code.width)


class Code:
    """One kernel in the making: it goes over tiles of `width` blocks, one block a lane."""

    def __init__(self, name: str, lanes: int) -> None:
        self.name = name
        self.width = lanes
        self.floats = ir.VectorType(FLOAT, lanes)
        self.ints = ir.VectorType(INT, lanes)
        self.module = ir.Module(name)
        self.module.triple = binding.get_default_triple()
        self.function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), ARGUMENTS), name)
        self.values, self.bytes, self.scratch, self.importance, self.tiles, self.row_blocks = self.function.args
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self.scratch_bytes = 0

    def constant(self, number: float, real: bool = True) -> Lanes:
        """The same number in every lane; as float32 nearest to it, or as int32."""
        kind, single = (self.floats, float(np.float32(number))) if real else (self.ints, number)
        return Lanes(self, ir.Constant(kind, [single] * self.width))

    def intrinsic(self, name: str, operand: Lanes) -> Lanes:
        """One of LLVM's own functions of one operand."""
        full = f"{name}.v{self.width}f32"
        function = self.module.globals.get(full) or ir.Function(self.module, ir.FunctionType(self.floats, [self.floats]), full)
        return Lanes(self, self.builder.call(function, [operand.value]))

    def array(self, length: int, real: bool = True) -> Array:
        """Scratch memory for so many vectors."""
        start = self.builder.gep(self.scratch, [INDEX(self.scratch_bytes)], inbounds=True, source_etype=ir.IntType(8))
        self.scratch_bytes += length * self.width * 4
        return Array(self, self.floats if real else self.ints, start)

    def loop(self, count: Any) -> Iterator[Any]:
        """`for index in code.loop(8)`: the body is built once and runs that often."""
        builder = self.builder
        entry = builder.block
        body, after = (self.function.append_basic_block() for _ in range(2))
        limit = count if isinstance(count, ir.Value) else INDEX(count)
        builder.cbranch(builder.icmp_signed("<", INDEX(0), limit), body, after)

        builder.position_at_end(body)
        index = builder.phi(INDEX)
        index.add_incoming(INDEX(0), entry)
        yield index

        # Between the yield and here the caller built the loop's body, which may have ended in another block.
        following = builder.add(index, INDEX(1))
        index.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, limit), body, after)
        builder.position_at_end(after)

    def times(self, index: Any, factor: int) -> Any:
        """An index times a whole number."""
        return self.builder.mul(index, INDEX(factor))

    def plus(self, index: Any, number: int) -> Any:
        """An index plus a whole number."""
        return self.builder.add(index, INDEX(number))

    def real(self, index: Any) -> Lanes:
        """An index as float32 in every lane."""
        single = self.builder.sitofp(index, FLOAT)
        first = self.builder.insert_element(ir.Constant(self.floats, ir.Undefined), single, INT(0))
        zeros = ir.Constant(self.ints, [0] * self.width)
        return Lanes(self, self.builder.shuffle_vector(first, first, zeros))

    def load_transposed(self, starts: list[Any], length: int, into: Array) -> None:
        """`length` floats from every lane's start, into vectors over the lanes."""
        for chunk in self.loop(length // self.width):
            first = self.times(chunk, self.width)
            rows = [
                self.builder.load(self.builder.gep(start, [first], inbounds=True, source_etype=FLOAT), align=4, typ=self.floats)
                for start in starts
            ]
            target = into.from_(first)
            for number, row in enumerate(self._transposed(rows)):
                target[number] = Lanes(self, row)

    def _transposed(self, rows: list[Any]) -> list[Any]:
        """Rows of a square matrix as its columns, by exchanging ever smaller halves of pairs of rows."""
        distance = self.width // 2
        while distance:
            low, high = [], []
            for lane in range(self.width):
                from_first = not lane & distance
                low.append(lane if from_first else self.width + lane - distance)
                high.append(lane + distance if from_first else self.width + lane)
            masks = [ir.Constant(self.ints, mask) for mask in (low, high)]
            for number in range(self.width):
                if not number & distance:
                    pair = rows[number], rows[number + distance]
                    rows[number], rows[number + distance] = (self.builder.shuffle_vector(*pair, mask) for mask in masks)
            distance //= 2
        return rows

    def lane_starts(self, base: Any, tile: Any, stride: int, row_blocks: Any = None) -> list[Any]:
        """Where each lane's block begins: `stride` bytes a block. row_blocks: blocks after which it starts again."""
        starts = []
        for lane in range(self.width):
            block = self.builder.add(self.times(tile, self.width), INDEX(lane))
            if row_blocks is not None:
                block = self.builder.urem(block, row_blocks)
            starts.append(self.builder.gep(base, [self.times(block, stride)], inbounds=True, source_etype=ir.IntType(8)))
        return starts

    def scatter(self, word: Lanes, starts: list[Any], offset: Any, size: int = 32) -> None:
        """Write every lane's int32, or its lowest `size` bits, `offset` bytes after the lane's start."""
        number = offset if isinstance(offset, ir.Value) else INDEX(offset)
        for lane, start in enumerate(starts):
            single = self.builder.extract_element(word.value, INT(lane))
            if size < 32:
                single = self.builder.trunc(single, ir.IntType(size))
            self.builder.store(single, self.builder.gep(start, [number], inbounds=True, source_etype=ir.IntType(8)), align=1)

    def compile(self) -> "Compiled":
        """The kernel as a function of this process."""
        self.builder.ret_void()
        module = binding.parse_assembly(str(self.module))
        machine = _machine()
        module.data_layout = str(machine.target_data)

        # Vectorizing or unrolling again would only take time: the code is vector code already.
        tuning = binding.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
        passes = binding.create_pass_builder(machine, tuning)
        passes.getModulePassManager().run(module, passes)

        engine = binding.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        return Compiled(engine, self.name, self.scratch_bytes, self.width)


class Compiled:
    """A kernel that can be called, by any thread with scratch memory of its own; ctypes lets other threads run meanwhile."""

    def __init__(self, engine: Any, name: str, scratch_bytes: int, lanes: int) -> None:
        self._engine = engine  # holds the machine code
        self.width = lanes
        self._scratch_bytes = scratch_bytes
        kinds = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 2
        self._function = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(name))

    def __call__(self, values: int, out: int, importance: int | None, tiles: int, row_blocks: int) -> None:
        """Addresses of the values, of the bytes to write, and of a row's importance; tiles of `width` blocks; blocks in a row."""
        scratch = np.empty(self._scratch_bytes + 64, np.uint8)
        self._function(values, out, scratch.ctypes.data + -scratch.ctypes.data % 64, importance, tiles, row_blocks)
