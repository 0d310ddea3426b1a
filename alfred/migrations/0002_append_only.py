"""Rows that record what happened can't be edited or deleted, whoever tries.

Erasure (and nothing else) may open the door for its own transaction: SET LOCAL alfred.erasing = 'on'.
"""

from django.db import migrations

TABLES = (
    "auditentry",
    "candidate",
    "deployment",
    "evaluation",
    "eventsegment",
    "labelsnapshot",
    "poseextraction",
    "posetruth",
    "scoring",
    "segment",
    "segmentscore",
    "segmenttruth",
    "slicecounts",
    "snapshotlabel",
    "threshold",
    "track",
    "validationmember",
    "verdict",
)

FUNCTION = """
CREATE FUNCTION alfred_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('alfred.erasing', true) = 'on' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""

TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON alfred_{table}
FOR EACH ROW EXECUTE FUNCTION alfred_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("alfred", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION alfred_append_only()"),
        *(
            migrations.RunSQL(TRIGGER.format(table=t), f"DROP TRIGGER append_only ON alfred_{t}")
            for t in TABLES
        ),
    ]
