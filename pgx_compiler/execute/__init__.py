"""The plan, made true: `schedule` decides, an engine computes, `operations` say how, the store keeps."""
