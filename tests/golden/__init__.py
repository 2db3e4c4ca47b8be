"""Golden files: the service's observable behaviour, recorded once and compared in every test run.

The recorder sees the service from outside: HTTP, Redis, Kafka and commands. It imports nothing of the
service, so that files may move while behaviour must not. The behaviour was recorded when
`recommended_action` gained `NONE`, a breaking change; the task messages of the scenes are those of 04f6cf5.

    http.json      answers of every endpoint, with status and headers
    redis.json     keys with type, value and time to live
    kafka.json     records with key, value and headers
    messages.json  task messages and replies
    metrics.json   names, types and labels of metrics
    commands.json  options, exit codes and output of commands
    prose.json     texts for people out of all of these: they may be worded anew
    changed.json   what is different on purpose, each with its reason
"""
