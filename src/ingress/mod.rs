//! hyper: routes, bodies in, answers out, health, metrics, admin. Never sees the engine.
