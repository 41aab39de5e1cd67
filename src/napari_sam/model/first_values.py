"""Networks whose weights come from a file are built without drawing values for them first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class no_first_values(TorchFunctionMode):  # noqa: N801  a context manager
    """Within it, modules draw no random values for their parameters.

    On the meta device, drawing values has PyTorch import its compiler, ``torch._dynamo``: 2.5 s of
    a processor, and builds for CUDA then load Triton. The LLVM in that crashes a process that has
    loaded Mesa's: one whose window is drawn without a GPU, on a virtual machine or from afar.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of PyTorch, unless all that it does is to draw values."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func in _DRAWS:
            return args[0]
        return func(*args, **kwargs)


_DRAWS = frozenset({Tensor.normal_, Tensor.uniform_})
