"""The longer jobs of the dock "Segment": what they are asked for, and one at a time."""


def test_everything_in_view_of_very_large_objects(dock, qtbot):
    dock.session.object_diameter = 5000
    dock.jobs.everything_in_view()
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.status.text().startswith("2 drafts")
