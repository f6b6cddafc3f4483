from kvsim.metrics.recorder import SESSION_COLUMNS, STEP_COLUMNS, TRANSFER_COLUMNS, Recorder


def test_rows_are_kept_as_they_come():
    recorder = Recorder()
    recorder.step(1, 0.5, 3, 0.8, 8, 9000, 0, 0.0, 0.001)
    recorder.transfer(0, "remote", "read", 36 << 20, 1, 0.1, 0.2, 0.3)
    recorder.live_sessions(4.0, 16)
    assert dict(zip(STEP_COLUMNS, recorder.steps[0], strict=True)) == {
        "instance": 1,
        "start_s": 0.5,
        "num_steps": 3,
        "end_s": 0.8,
        "decodes": 8,
        "context_tokens": 9000,
        "prefill_tokens": 0,
        "load_s": 0.0,
        "store_s": 0.001,
    }
    assert dict(zip(TRANSFER_COLUMNS, recorder.transfers[0], strict=True)) == {
        "instance": 0,
        "tier": "remote",
        "direction": "read",
        "n_bytes": 36 << 20,
        "objects": 1,
        "asked_s": 0.1,
        "started_s": 0.2,
        "finished_s": 0.3,
    }
    assert dict(zip(SESSION_COLUMNS, recorder.sessions[0], strict=True)) == {
        "time_s": 4.0,
        "live": 16,
    }
