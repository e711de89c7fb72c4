# Checks of guidance in experiment files: several keys must fit together.


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
