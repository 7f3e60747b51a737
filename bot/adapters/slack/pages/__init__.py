"""Forms in Slack: `inputs` and the `*_modals` render them, `modal_reading` reads what comes back as `forms`. Pure."""
