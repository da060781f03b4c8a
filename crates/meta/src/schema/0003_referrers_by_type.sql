-- Referrers of one artifact type, without reading the others.
CREATE INDEX image_by_artifact_type ON image (repository_id, subject, artifact_type, id)
    WHERE deleted_at IS NULL AND subject IS NOT NULL;
