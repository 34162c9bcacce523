import logging
import threading

from keras_geneformer.tokenization.collected_messages import collected_messages, say

NAME = "keras_geneformer.tokenization.anything"


def test_collected_and_said_later(caplog):
    with collected_messages() as messages:
        logging.getLogger(NAME).warning("%d cells", 3)
    assert caplog.messages == []
    assert messages == [(NAME, logging.WARNING, "3 cells")]
    say(messages)
    assert [(r.name, r.levelno, r.message) for r in caplog.records] == messages
    logging.getLogger(NAME).warning("as before")
    assert caplog.messages[-1] == "as before"


def test_other_threads_speak_meanwhile(caplog):
    with collected_messages() as messages:
        other = threading.Thread(target=lambda: logging.getLogger(NAME).warning("other"))
        other.start()
        other.join()
        logging.getLogger(NAME).warning("mine")
    assert caplog.messages == ["other"]
    assert [text for _, _, text in messages] == ["mine"]


def test_an_error_ends_the_collecting(caplog):
    try:
        with collected_messages():
            raise ValueError
    except ValueError:
        logging.getLogger(NAME).warning("said")
    assert caplog.messages == ["said"]
