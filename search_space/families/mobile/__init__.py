"""Mobile networks: a stem, stages of inverted residuals and their kin, a head."""
