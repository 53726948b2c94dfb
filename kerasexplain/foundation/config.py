"""Values that can be compared, printed, saved and made again: rules and analyzers."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import keras

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options: Any) -> Any:
        return lambda function: function


#: What Keras makes of plain data besides arrays, and runs nothing for.
_PLAIN = ("__ellipsis__", "__slice__", "__bytes__", "__tuple__")

Self = TypeVar("Self", bound="Configurable")
Named = TypeVar("Named")
Kind = TypeVar("Kind")


@dataclass_transform(frozen_default=True, eq_default=False)
def saved(named: Named) -> Named:
    """Has a class, or a function, be found again by its name in saved files; of a class it makes a frozen dataclass."""
    return _registered(_frozen(named) if isinstance(named, type) else named)


@dataclass_transform(frozen_default=True, eq_default=False, kw_only_default=True)
def saved_by_keyword(named: type[Kind]) -> type[Kind]:
    """The same for a class whose fields are given by name alone."""
    return _registered(_frozen(named, kw_only=True))


def _frozen(named: Any, kw_only: bool = False) -> Any:
    return dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=kw_only)(named)


def _registered(made: Any) -> Any:
    return keras.saving.register_keras_serializable(package="kerasexplain")(made)


class Configurable:
    """A dataclass whose fields are its whole configuration.

    Two are equal when their configurations are; `from_config(get_config())` is an equal one.
    """

    #: Fields that are given when the object is made but are no part of its configuration.
    _not_configuration: tuple[str, ...] = ()

    def _fields(self) -> list[dataclasses.Field[Any]]:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return [field for field in fields if field.name not in self._not_configuration]

    def get_config(self) -> dict[str, Any]:
        """The configuration, as plain data that JSON can hold.

        Raises:
            TypeError: It holds a function or a class that cannot be found again by name.
        """
        return {field.name: serialize(getattr(self, field.name)) for field in self._fields()}

    @classmethod
    def from_config(cls: type[Self], config: dict[str, Any], **given: Any) -> Self:
        """An object equal to the one whose `get_config()` this is."""
        return cls(**{name: deserialize(value) for name, value in config.items()}, **given)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def _key(self) -> str:
        # What cannot be saved, a predicate say, can still be compared: by identity.
        config = {field.name: serialize(getattr(self, field.name), strict=False) for field in self._fields()}
        return json.dumps(_with_floats(config), sort_keys=True)

    def __repr__(self) -> str:
        shown = []
        for field in self._fields():
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING or repr(value) != repr(field.default):
                shown.append(f"{field.name}={value!r}" if field.kw_only else repr(value))
        return f"{type(self).__name__}({', '.join(shown)})"


def _with_floats(value: Any) -> Any:
    """Plain data with every integer as a float: an `Epsilon(1)` is an `Epsilon(1.0)`."""
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def serialize(value: Any, strict: bool = True) -> Any:
    """Plain data for a value of a configuration; what cannot be saved raises TypeError, or is a mark if not strict."""
    if isinstance(value, (list, tuple)):
        return {"sequence": type(value).__name__, "items": [serialize(item, strict) for item in value]}
    if isinstance(value, keras.layers.Layer):
        return value.name  # of a model that a configuration knows nothing of
    if isinstance(value, Configurable) or not callable(value):
        return keras.saving.serialize_keras_object(value)
    name = _registered_name(value)
    if name is not None:
        return {"registered": name}
    if not strict:
        return f"unsaved {id(value)}"
    raise TypeError(
        f"{value!r} cannot be saved: a configuration may hold numbers, names, arrays, rules, classes of keras.layers, "
        "and classes registered with keras.saving.register_keras_serializable"
    )


def _registered_name(value: Any) -> str | None:
    """The name by which a class or function can be found again; None if it cannot."""
    own_name = getattr(value, "__name__", "")
    if getattr(keras.layers, own_name, None) is value:
        return own_name
    name = keras.saving.get_registered_name(value)
    return name if keras.saving.get_registered_object(name) is value else None


def deserialize(value: Any) -> Any:
    """The value that `serialize` made that plain data of."""
    if isinstance(value, dict) and set(value) == {"sequence", "items"}:
        items = [deserialize(item) for item in value["items"]]
        return tuple(items) if value["sequence"] == "tuple" else items
    if isinstance(value, dict) and set(value) == {"registered"}:
        return _known(value["registered"])
    _check_reach(value)
    return keras.saving.deserialize_keras_object(value)


def _known(name: Any) -> Any:
    """The layer of Keras, or the registered class or function, of a name; the file may hold any."""
    layer = getattr(keras.layers, name, None) if isinstance(name, str) else None
    return layer if isinstance(layer, type) and issubclass(layer, keras.layers.Layer) else _registered_as(name)


def _registered_as(name: Any) -> Any:
    known = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    if known is None:
        raise ValueError(f"{name!r} is not known: import the module that registers it first")
    return known


def _check_reach(value: Any) -> None:
    """Raises ValueError if plain data would make anything but arrays, slices and what is registered.

    Keras would look for classes and functions in its modules, too, and make them with arguments of the file's choice.
    """
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    for entry in entries:
        _check_reach(entry)
    if not isinstance(value, dict) or "class_name" not in value:
        return
    kind, own = value["class_name"], value.get("config")
    if kind in ("__numpy__", "__tensor__"):
        dtype = str(own.get("dtype")) if isinstance(own, dict) else ""
        if not re.fullmatch(r"bool|(u?int|b?float)\d+", dtype):
            raise ValueError(f"an array of the configuration is of the type {dtype!r}")
    elif kind not in _PLAIN:
        _registered_as(own if kind == "function" else value.get("registered_name") or kind)
