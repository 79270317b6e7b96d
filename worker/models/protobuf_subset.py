"""Message classes for parts of other projects' protobuf files, without their packages."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

KINDS = descriptor_pb2.FieldDescriptorProto
"""The types of fields: `KINDS.TYPE_STRING` and so on."""
Field = tuple[str, int, Any, bool]
"""Name, number, type (of `KINDS`, or the name of a message), and whether it is repeated."""


def message_class(syntax: str, messages: Mapping[str, list[Field]], name: str) -> Any:
    """The class of the message `name`. Fields that `messages` does not describe are kept unread."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=name.lower(), syntax=syntax)
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, number, kind, repeated in fields:
            label = KINDS.LABEL_REPEATED if repeated else KINDS.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = KINDS.TYPE_MESSAGE, f".{file.package}.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
