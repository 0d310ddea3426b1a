import time, pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.db import connection
from tests import world
from tests.annotator import stage
from uuid import uuid4
from alfred.models import Lane

@pytest.mark.django_db
def test_x():
    t=time.time()
    s=stage.scene("Gate",events=6)
    w=stage.scene("Warm",events=6, lane=Lane.WARMUP)
    from alfred.models import ValidationSet
    ValidationSet.objects.filter(camera=w.camera).update(frozen_at=None)
    cast=world.people(s.camera, w.camera)
    print("built",time.time()-t)
    c=Client(); c.force_login(cast.alice)
    for url in ("/review/next/", "/review/next/?camera=gate", "/review/", "/review/next/?camera=warm"):
        with CaptureQueriesContext(connection,) as q:
            r=c.get(url, headers={"HX-Request":"true"})
        print(url, r.status_code, len(q)); [print("   ", x["sql"][:150]) for x in q.captured_queries]
    for ev, cam in ((s.events[0],""),(w.events[0],"warm")):
        with CaptureQueriesContext(connection,) as q:
            r=c.post(f"/review/events/{ev.pk}/verdict/", {"key":uuid4(),"answer":"normal","camera":cam}, headers={"HX-Request":"true"})
        print(r.status_code, len(q)); [print("   ", x["sql"][:250]) for x in q.captured_queries]
    for u in ("/cameras/","/cameras/gate/",f"/recordings/{s.recording.pk}/",f"/rounds/{s.round.pk}/","/cameras/gate/report/","/cameras/gate/report.csv"):
        c.force_login(cast.admin)
        with CaptureQueriesContext(connection,) as q: r=c.get(u)
        print(u, r.status_code, len(q))
    assert 0
