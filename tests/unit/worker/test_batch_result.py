"""A block as bytes and back; blocks of before thumbnails are read as well."""

import msgpack
import numpy as np

from shared.domain.outcomes import Outcome
from worker.batch_result import Block, ImageRecord


def _block() -> Block:
    image = ImageRecord(
        path="a.jpg", outcome=Outcome.OK, faces=[[0, 0, 9, 9, 1, *[4] * 15]], thumbnails=[b"\xff\xd8jpeg"]
    )
    embeddings = np.eye(1, 512, dtype=np.float32)
    return Block(
        batch=0, attempt=1, worker="w", started_ms=1, ended_ms=2, commit_ms=0.0, images=[image], embeddings=embeddings
    )


def test_a_block_keeps_its_thumbnails() -> None:
    """As the worker cut them."""
    block = Block.unpack(_block().pack(), 512)
    assert block.images == _block().images
    assert (block.embeddings == _block().embeddings).all()


def test_a_block_of_an_earlier_version_has_no_thumbnails() -> None:
    """A job that was begun before an upgrade is finished after it."""
    values = msgpack.unpackb(_block().pack())
    for image in values["images"]:
        del image["thumbnails"]
    (image,) = Block.unpack(msgpack.packb(values), 512).images
    assert image.thumbnails == [] and image.faces == [[0, 0, 9, 9, 1, *[4] * 15]]
