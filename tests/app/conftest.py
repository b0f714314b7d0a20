"""The web demo, served once for all tests of it."""

import pytest


@pytest.fixture(scope="session")
def studio():
    from mmcam.app.models import Studio

    return Studio()


@pytest.fixture
def session():
    from mmcam.app.session import Session

    return Session()


@pytest.fixture(scope="session")
def served():
    pytest.importorskip("gradio", reason="needs Gradio, of the extra app")
    from mmcam.app.launch import serve

    page = serve(wait=False)
    yield page
    page.close(verbose=False)
