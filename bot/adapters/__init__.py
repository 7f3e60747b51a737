"""The concrete outside world behind the engine's ports. Joined together in `bot.app`, and nowhere else."""
