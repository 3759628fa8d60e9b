"""Look-up tables: tokens, learned positions, token types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from gauge.formats import BFLOAT16, FLOAT32
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim, Tensor


class Entry(Protocol):
    """What turns a part's input (tokens, pixels, sound) into the stream that its first block reads."""

    def weights(self) -> Iterator[Tensor]:
        """The tensors it owns."""
        ...

    def forward(self, tape: Tape, tokens: Dims) -> Value:
        """The stream over those positions."""
        ...


@dataclass(frozen=True, slots=True)
class Embedding:
    """A table of `rows` vectors: `token_embedding`, `position_embedding` or `type_embedding` by role."""

    name: str
    rows: int
    size: int
    role: str = "token_embedding"
    rows_dim: Dim = Dim.VOCAB

    def weights(self) -> Iterator[Tensor]:
        """(rows, hidden)."""
        yield Tensor(f"{self.name}.weight", dims((self.rows_dim, self.rows), (Dim.HIDDEN, self.size)), BFLOAT16, role=self.role)

    def __call__(self, tape: Tape, tokens: Dims) -> Value:
        """One vector for each position of `tokens`; only the token ids are kept, and they are inputs."""
        (table,) = (tape.weight(t) for t in self.weights())
        shape = (*tokens, *dims((Dim.HIDDEN, self.size)))
        format = FLOAT32 if tape.how.wide_stream else table.format
        return tape.op("embedding", (), shape, format, label=f"{self.role.replace('_', ' ')}s", weights=(table,))


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The sum of token, position and type vectors, then norm, projection and dropout, as far as a family has them.

    `shared`: the tables belong to an earlier part and are only used here; `borrowed`: the first so many do. `scaled`:
    token vectors are multiplied by a constant. `project` maps vectors of another width to the residual stream's: the
    `tokens` (OPT), the `sum` of all tables (DeBERTa) or what comes out at the `end` (ELECTRA). `computed` counts positions
    whose vectors are no parameters, but held beside them (XGLM).
    """

    tables: tuple[Embedding, ...]
    norm: Norm | None = None
    dropout: float = 0.0
    shared: bool = False
    borrowed: int = 0
    scaled: bool = False
    project: Linear | None = None
    project_at: str = "tokens"
    computed: int = 0

    def buffers(self) -> Iterator[Tensor]:
        """The table of computed positions."""
        if self.computed:
            shape = dims((Dim.POSITIONS, self.computed), (Dim.HIDDEN, self.tables[0].size))
            yield Tensor("computed positions", shape, BFLOAT16, trainable=False, role="computed_positions")

    def weights(self) -> Iterator[Tensor]:
        """All tables that are its own, and the norm."""
        for table in () if self.shared else self.tables[self.borrowed :]:
            yield from table.weights()
        if self.project:
            yield from self.project.weights()
        if self.norm:
            yield from self.norm.weights()

    def forward(self, tape: Tape, tokens: Dims) -> Value:
        """The residual stream that the first block reads."""
        x = self._projected(tape, self.tables[0](tape, tokens), "tokens")
        if self.scaled:
            x = tape.op("mul", (x,), x.dims, x.format, label="scaled embeddings")
        for table in self.tables[1:]:
            x = tape.add(x, table(tape, tokens), label="embeddings")
        x = self._projected(tape, x, "sum")
        if self.norm:
            x = self.norm(tape, x)
        return self._projected(tape, tape.dropout(x, self.dropout, label="embeddings, dropped out"), "end")

    def _projected(self, tape: Tape, x: Value, where: str) -> Value:
        if self.project is None or self.project_at != where:
            return x
        return self.project(tape, x, "projected embeddings")
