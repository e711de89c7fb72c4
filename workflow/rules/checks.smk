# What is wrong with an experiment file beyond its schema: keys that must fit together.


def check_name(experiment, path):
    """Refuse an experiment that would write into the results of another."""
    if experiment != Path(path).stem:
        raise UserError(f"{path}: 'experiment' is '{experiment}'; it must be the name of the file.")
    if experiment in ("figures", "logs", "reference"):
        raise UserError(f"{path}: '{experiment}' is a folder of the results; choose another name.")


def check_models(values, source):
    """Refuse models that cannot be built, and samplers whose model the experiment does not train."""
    models = {"forward": values["forward"]}
    models |= {f"reverse.{name}": model for name, model in values["reverse"].items()}
    for name, model in models.items():
        head_dim = model.get("head_dim", 64)
        # A student has no width of its own: its architecture is the flow's.
        if model.get("width", 0) % head_dim:
            raise UserError(
                f"{source}: 'head_dim' {head_dim} does not divide 'width' {model['width']} in '{name}'; change one of them."
            )
        if model.get("perceptual") and model.get("denoising") == "none":
            raise UserError(
                f"{source}: '{name}.perceptual' compares clean images; set '{name}.denoising' to 'learned' or leave it out."
            )
    for sampler in values["sampling"]["samplers"]:
        method = base_name(sampler)
        if is_learned(sampler) and method not in values["reverse"]:
            raise UserError(f"{source}: sampler '{sampler}' needs the section 'reverse.{method}'.")
        if is_learned(sampler) and values["reverse"][method].get("denoising") == "none":
            raise UserError(
                f"{source}: sampler '{sampler}' is one of clean images; set 'reverse.{method}.denoising' to 'learned' or leave the sampler out."
            )
        if is_learned(sampler):
            check_sampling_guidance(values, method, source)
    check_guided_models(values, source)
    if "front" in values["speed"] and not iterative_methods(values):
        raise UserError(
            f"{source}: 'speed.front' needs an iterative inverse among 'sampling.samplers', e.g. jacobi."
        )


def check_ablations(values, source):
    """Refuse ablations that are not described, or that lack what they are compared with."""
    for name in values.get("ablations", []):
        if name not in ABLATIONS.variants:
            raise UserError(
                f"{source}: there is no ablation '{name}'; {closest(name, list(ABLATIONS.variants))}"
            )
    if values.get("ablations") and ABLATIONS.base not in values["sampling"]["samplers"]:
        raise UserError(
            f"{source}: 'ablations' are compared with '{ABLATIONS.base}'; add it to 'sampling.samplers'."
        )
    for name in values.get("ablations", []):
        variant = ABLATIONS.variants[name]
        reverse = values["reverse"] | {ABLATIONS.base: values["reverse"][ABLATIONS.base] | variant.reverse}
        changed = values | {"reverse": reverse, "forward": values["forward"] | variant.forward}
        check(changed, SCHEMA, f"config/ablations.yaml, variant '{name}'")


def check_sampling_guidance(values, method, source):
    """Refuse a learned sampler that guides in one evaluation by more than its model is trained for."""
    asked, most = values["sampling"].get("guidance", 0), values["reverse"][method].get("guidance_max", 0)
    options = values["sampling"].get("options", {}).get(method, {})
    if asked > most and options.get("evaluations") != 2:
        raise UserError(
            f"{source}: '{method}' is trained {f'with guidance up to {most:g}' if most else 'without guidance'}; set 'sampling.guidance' to {most:g}, or 'sampling.options.{method}.evaluations' to 2."
        )


def check_guided_models(values, source):
    """Refuse training-time guidance where it is not defined, and a figure of guidance without clean images."""
    for method, model in values["reverse"].items():
        if not model.get("guidance_max"):
            continue
        if method != "biflow":
            raise UserError(
                f"{source}: training-time guidance is defined for hidden alignment; set 'reverse.{method}.guidance_max' to 0 or leave it out."
            )
        if model.get("label_drop") == 0:
            raise UserError(
                f"{source}: guidance leads away from images without label; set 'reverse.{method}.label_drop' above 0."
            )
        if "guidance" in values and model.get("denoising") == "none":
            raise UserError(
                f"{source}: the section 'guidance' compares clean images; set 'reverse.{method}.denoising' to 'learned' or leave the section out."
            )


def check_budget(values, source):
    """Refuse curves of methods that the experiment does not describe, and changes that they do not take."""
    for name, arm in values.get("budget", {}).get("arms", {}).items():
        if arm["method"] not in values["reverse"]:
            raise UserError(f"{source}: 'budget.arms.{name}' needs the section 'reverse.{arm['method']}'.")
        base = values["reverse"][arm["method"]]
        training = base["training"] | arm.get("change", {}).get("training", {})
        changed = base | arm.get("change", {}) | {"training": training}
        reverse = values["reverse"] | {arm["method"]: changed}
        check(values | {"reverse": reverse}, SCHEMA, f"{source}, curve '{name}'")
