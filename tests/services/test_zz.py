import time
import pytest
from tests import world
from alfred.models import *

@pytest.mark.django_db
def test_x():
    t=time.time()
    v = world.camera()
    cast = world.people(v)
    r = world.scored(v, minutes=2)
    print("scored", time.time()-t); t=time.time()
    print(Segment.objects.count(), SegmentScore.objects.filter(flagged=True).count(), SegmentScore.objects.filter(value=None).count(), SegmentTruth.objects.filter(anomalous=True).count(), Event.objects.count())
    print(world.judge_all(v, cast.alice), time.time()-t); t=time.time()
    world.run_all(v); print(time.time()-t)
    w = world.camera("B", val_min=5)
    world.scored(w, as_validation=True, slice_ordinal=None, minutes=1, anomaly_share=.3)
    print("val", time.time()-t); t=time.time()
    world.scored(w, seed=3); print(time.time()-t)
    from alfred.services.launch_round import launch
    x=launch(w.pk,None); t=time.time()
    world.run_all(w); print("round", time.time()-t)
    x.refresh_from_db(); print(x.state, x.left_out)
