"""What an explanation must leave as it was."""

import torch


class State:
    """Everything about a model and torch that an explanation must leave as it was."""

    HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

    def __init__(self, model):
        self.model = model
        modules = list(model.modules())
        self.training = [module.training for module in modules]
        self.inplace = [getattr(module, "inplace", None) for module in modules]
        self.hooks = [[len(getattr(module, name)) for name in self.HOOKS] for module in modules]
        self.attributes = [sorted(vars(module)) for module in modules]
        self.forwards = [(type(module), "forward" in vars(module)) for module in modules]
        self.requires_grad = [p.requires_grad for p in model.parameters()]
        self.gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        self.tensors = {name: t.clone() for name, t in model.state_dict().items()}
        self.rng = torch.get_rng_state()
        self.modes = (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.backends.cudnn.enabled,
            torch.backends.mkldnn.enabled,
        )
        self.function_modes = torch._C._len_torch_function_stack()

    def check(self):
        now = State(self.model)
        for name in ("training", "inplace", "hooks", "attributes", "forwards", "requires_grad", "modes"):
            assert getattr(now, name) == getattr(self, name), name
        assert now.function_modes == self.function_modes
        assert torch.equal(now.rng, self.rng)
        assert now.tensors.keys() == self.tensors.keys()
        assert all(torch.equal(now.tensors[name], tensor) for name, tensor in self.tensors.items())
        for before, after in zip(self.gradients, now.gradients, strict=True):
            assert (before is None) == (after is None)
            assert before is None or torch.equal(before, after)
